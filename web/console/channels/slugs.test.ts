import { expect, test } from "vitest";
import { proposeSlug } from "./slugs";

const NONE = new Set<string>();

test("the short name is the account's own in its address", () => {
  expect(proposeSlug({ name: "Our shop", address: "https://t.me/Shop_Help_bot" }, NONE)).toBe("shop-help-bot");
  expect(proposeSlug({ name: "Our shop", address: "@Shop_bot" }, NONE)).toBe("shop-bot");
  expect(proposeSlug({ name: "Our shop", address: "https://vk.com/our.shop" }, NONE)).toBe("our-shop");
  expect(proposeSlug({ name: "Our shop", address: "help@shop.example" }, NONE)).toBe("help");
});

test("without an address it is made of the name, in letters that addresses have", () => {
  expect(proposeSlug({ name: "Наш магазин", address: "" }, NONE)).toBe("nash-magazin");
  expect(proposeSlug({ name: "店", address: "" }, NONE)).toBe("");
});

test("one that is taken gets a number, and stays as short as it may be", () => {
  expect(proposeSlug({ name: "Shop", address: "" }, new Set(["shop", "shop-2"]))).toBe("shop-3");
  const long = "a".repeat(60);

  expect(proposeSlug({ name: long, address: "" }, new Set(["a".repeat(40)]))).toBe(`${"a".repeat(38)}-2`);
});
