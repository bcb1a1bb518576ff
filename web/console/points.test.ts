import { describe, expect, test } from "vitest";
import type { Point } from "../shared/frames/operator";
import { wordsIn } from "./i18n/words";
import { inOrder, isAddress, pointText } from "./points";

const BROWSER: Point = { kind: "channel", value: "", evidence: "identity", channel: "widget", channel_name: "Shop" };
const PHONE: Point = { kind: "phone", value: "8 912 345-67-89", evidence: "form" };
const EMAIL: Point = { kind: "email", value: "ann@example.com", evidence: "message" };

describe("points of a contact", () => {
  test("where a visitor writes from is no phone and no e-mail", () => {
    expect([BROWSER].some(isAddress)).toBe(false);
    expect([BROWSER, EMAIL].some(isAddress)).toBe(true);
    expect([BROWSER, PHONE].some(isAddress)).toBe(true);
  });

  test("a channel is said in words, in the reader's language", () => {
    expect(pointText(BROWSER, wordsIn("en"))).toBe("Site chat · Shop");
    expect(pointText(BROWSER, wordsIn("ru"))).toBe("Чат на сайте · Shop");
  });

  test("a name that people use in a channel comes first", () => {
    const point: Point = { ...BROWSER, value: "@ann", channel: "telegram", channel_name: "Bot" };

    expect(pointText(point, wordsIn("en"))).toBe("@ann · Telegram · Bot");
  });

  test("addresses are as they were written, and come before channels", () => {
    expect(inOrder([BROWSER, EMAIL, PHONE]).map((point) => pointText(point, wordsIn("en")))).toEqual([
      "8 912 345-67-89",
      "ann@example.com",
      "Site chat · Shop",
    ]);
  });
});
