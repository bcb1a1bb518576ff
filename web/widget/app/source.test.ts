import { expect, test } from "vitest";
import { sourceOf } from "./source";

const visit = ({ href = "https://shop.example/tea", search = "", title = "Tea", lang = "en-GB", landing = null as string | null } = {}) =>
  sourceOf({ href, search }, { title, referrer: "https://shop.example/" }, lang, landing);

test("the visitor came from where they came to the site, not from its last page", () => {
  const landing = JSON.stringify(["https://search.example/", "?utm_source=ads&utm_campaign=tea&id=7"]);

  const { referrer, utm } = visit({ landing });

  expect(referrer).toBe("https://search.example/");
  expect(utm).toEqual({ utm_source: "ads", utm_campaign: "tea" });
});

test("a campaign in this page's address is newer than the first page's", () => {
  const landing = JSON.stringify(["", "?utm_source=old&utm_term=x"]);

  expect(visit({ landing, search: "?utm_source=new" }).utm).toEqual({ utm_source: "new" });
});

test.each([null, "", "{", "7", '"x"', "[]", "[null, null]"])("without a note of the first page, or with a broken one (%s), this page speaks", (landing) => {
  const { referrer, utm } = visit({ landing });

  expect([referrer, utm]).toEqual(["https://shop.example/", {}]);
});

test("nothing is longer than the contract allows, and no character is cut in half", () => {
  const query = Array.from({ length: 20 }, (_, at) => `utm_${at}=${"ж".repeat(300)}`).join("&");

  const hello = visit({ href: "x".repeat(3000), title: "😀".repeat(300), lang: "x".repeat(99), search: `?${query}` });

  expect([hello.page?.length, Array.from(hello.title ?? "").length, hello.lang?.length]).toEqual([2048, 200, 35]);
  expect(hello.title).toMatch(/^😀+$/u);
  expect(Object.values(hello.utm ?? {}).map((value) => value.length)).toEqual(Array(12).fill(200));
});

test("half a pair in a page's title does not become an unreadable frame", () => {
  expect(visit({ title: "Tea \ud83d" }).title).toBe("Tea \ufffd");
});
