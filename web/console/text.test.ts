import { describe, expect, test } from "vitest";
import { cleanName, initials, middle, phoneText, pieces } from "./text";

const links = (text: string): (string | undefined)[] => pieces(text).flatMap((piece) => (piece.href === undefined ? [] : [piece.href]));

describe("names", () => {
  test("a name cannot turn the direction of what follows, nor break the line", () => {
    expect(cleanName("evil\u202Egpj.exe")).toBe("evilgpj.exe");
    expect(cleanName("\u2066Anna\u2069\u200F\n ")).toBe("Anna");
  });

  test("initials are of the first and the last word, whatever the alphabet", () => {
    expect(initials("Мария Петровна Соколова")).toBe("МС");
    expect(initials("anna@example.com")).toBe("AC");
    expect(initials("👩 Anna")).toBe("A");
    expect(initials("Мария <С>")).toBe("МС");
    expect(initials("")).toBe("?");
  });
});

describe("numbers", () => {
  test("a number of a plan that we know stands in its groups, any other as it is", () => {
    expect(phoneText("+79001234567")).toBe("+7 900 123-45-67");
    expect(phoneText("+12125550123")).toBe("+1 212 555-0123");
    expect(["+442079460123", "+7900123456", "101", ""].map(phoneText)).toEqual(["+442079460123", "+7900123456", "101", ""]);
  });

  test("what a caller's exchange says instead of a number cannot turn the direction of what follows", () => {
    expect(phoneText("\u202Eanonymous\n")).toBe("anonymous");
  });
});

describe("links", () => {
  test("nothing of the text is lost or doubled", () => {
    const text = "see https://a.example/x?y=1#z, or (http://b.example/c_(d)). Bye";

    expect(pieces(text).map((piece) => piece.text).join("")).toBe(text);
    expect(links(text)).toEqual(["https://a.example/x?y=1#z", "http://b.example/c_(d)"]);
  });

  test("only http and https lead anywhere", () => {
    expect(links("javascript:alert(1) data:text/html,x ftp://a.example file:///etc mailto:a@b.example //a.example")).toEqual([]);
    expect(links("http:// https://")).toEqual([]);
  });

  test("markup is text like any other", () => {
    expect(pieces('<a href="javascript:x">y</a>')).toEqual([{ text: '<a href="javascript:x">y</a>' }]);
    expect(links('<img src="https://a.example/x.png">')).toEqual(["https://a.example/x.png"]);
  });

  test("an address ends where the direction is turned", () => {
    expect(links("https://a.example/\u202Egpj")).toEqual(["https://a.example/"]);
  });

  test("long input takes no long time", () => {
    const begun = performance.now();
    for (const letter of [")", "(", "https://a.b/", "a", "."]) pieces(`https://a.example/${letter.repeat(8_000)}`);

    expect(performance.now() - begun).toBeLessThan(500);
  });
});

describe("a file's name in a row", () => {
  test("a short one is whole, of a long one its beginning and its ending are seen", () => {
    const long = middle(`${"report ".repeat(20)}final.xlsx`);

    expect(middle("receipt.pdf")).toBe("receipt.pdf");
    expect(Array.from(long).length).toBeLessThanOrEqual(56);
    expect(long).toMatch(/^report report .*….*final\.xlsx$/u);
  });

  test("it cannot turn its ending round", () => {
    expect(middle("invoice\u202Efdp.exe")).toBe("invoicefdp.exe");
  });
});
