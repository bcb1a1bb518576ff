import { expect, test } from "vitest";
import { inkOn, readOptions } from "./options";
import { storageKey } from "./shell";

const ADDRESS = "https://chat.example.com/widget.js?v=2";

test("a tag with a line alone has our defaults and the browser's language", () => {
  const options = readOptions({ line: "shop" }, ADDRESS, "pl-PL");

  expect(options).toEqual({ server: "https://chat.example.com", line: "shop", lang: "pl-PL", color: "", side: "right", label: "" });
});

test("what the site says is honoured, with stray blanks forgiven", () => {
  const attributes = { line: " shop ", lang: "ru", color: "#FFCC00 ", position: "left", label: " Ask us " };

  const options = readOptions(attributes, ADDRESS, "en");

  expect(options).toEqual({ server: "https://chat.example.com", line: "shop", lang: "ru", color: "#ffcc00", side: "left", label: "Ask us" });
});

test.each(["red", "#fc0", "#ffcc0g", "url(https://example.com)", "#ffcc00;top:0"])("colour %s is not one we can reckon with: ours stands", (color) => {
  expect(readOptions({ line: "shop", color }, ADDRESS, "en").color).toBe("");
});

test("a position that we do not know is the right one", () => {
  expect(readOptions({ line: "shop", position: "top" }, ADDRESS, "en").side).toBe("right");
});

test("an empty language is none", () => {
  expect(readOptions({ line: "shop", lang: "" }, ADDRESS, "en").lang).toBe("en");
});

test("words on any colour can be read: at least 4.5 to 1", () => {
  const luminance = (color: string): number => {
    const linear = [1, 3, 5].map((at) => {
      const part = parseInt(color.slice(at, at + 2), 16) / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * (linear[0] ?? 0) + 0.7152 * (linear[1] ?? 0) + 0.0722 * (linear[2] ?? 0);
  };
  const steps = ["00", "33", "66", "77", "88", "99", "cc", "ff"];
  const colors = steps.flatMap((red) => steps.flatMap((green) => steps.map((blue) => `#${red}${green}${blue}`)));

  const contrast = (color: string): number => {
    const ink = inkOn(color) === "#fff" ? 1 : 0;
    const [dark, light] = [luminance(color), ink].sort((a, b) => a - b) as [number, number];
    return (light + 0.05) / (dark + 0.05);
  };

  expect(colors.filter((color) => contrast(color) < 4.5)).toEqual([]);
});

test("two servers, and two lines of one server, keep their things apart", () => {
  const keys = [
    storageKey({ server: "https://a.example.com", line: "shop" }),
    storageKey({ server: "https://a.example.com:8443", line: "shop" }),
    storageKey({ server: "https://a.example.com", line: "help" }),
  ];

  expect(keys).toEqual(["omniline:a.example.com:shop", "omniline:a.example.com:8443:shop", "omniline:a.example.com:help"]);
});
