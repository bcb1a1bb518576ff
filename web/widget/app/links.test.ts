import { expect, test } from "vitest";
import { piecesOf } from "./links";

const addresses = (text: string) => piecesOf(text).flatMap(({ href }) => href ?? []);

test.each([
  ["see https://example.com/a.", ["https://example.com/a"]],
  ["(https://example.com/a_(b)), really", ["https://example.com/a_(b)"]],
  ["http://a.example, https://b.example/?q=1&r=2#x!", ["http://a.example", "https://b.example/?q=1&r=2#x"]],
  ["«https://пример.рф/чай»", ["https://пример.рф/чай"]],
  ["HTTPS://EXAMPLE.COM", ["HTTPS://EXAMPLE.COM"]],
])("the address ends where the sentence goes on: %s", (text, found) => {
  expect(addresses(text)).toEqual(found);
});

test.each(["javascript:alert(1)", "data:text/html,x", "ftp://example.com", "https://", "xhttps://example.com", "mailto:a@example.com", "<b>bold</b>"])(
  "%s stays text",
  (text) => {
    expect(addresses(text)).toEqual([]);
  },
);

test("not a character is lost or added", () => {
  const text = "a https://example.com/x) b https:// c\n(https://example.com/[y]) 😀 https://.";

  expect(piecesOf(text).map((piece) => piece.text).join("")).toBe(text);
});
