import { expect, test } from "vitest";
import { keepIn } from "./keep";
import { FakeStorage } from "./testing/world";

test("what is set can be got, listed and removed", () => {
  const keep = keepIn(() => storage);
  const storage = new FakeStorage();

  keep.set("a:1", "one");
  keep.set("b:1", "other");

  expect([keep.get("a:1"), keep.get("a:2"), keep.keys("a:")]).toEqual(["one", null, ["a:1"]]);
  keep.set("a:1", null);
  expect([keep.get("a:1"), keep.keys("a:")]).toEqual([null, []]);
});

test("a browser that denies its storage keeps nothing beyond the page, and everything works", () => {
  const keep = keepIn(() => {
    throw new DOMException("denied", "SecurityError");
  });

  keep.set("a:1", "one");

  expect([keep.get("a:1"), keep.keys("a:")]).toEqual(["one", ["a:1"]]);
  keep.set("a:1", null);
  expect([keep.get("a:1"), keep.keys("a:")]).toEqual([null, []]);
});

test("a full storage does not bring back what it kept before", () => {
  const storage = new FakeStorage();
  const keep = keepIn(() => storage);
  keep.set("a:1", "old");
  Object.defineProperty(storage, "setItem", {
    value: () => {
      throw new DOMException("full", "QuotaExceededError");
    },
  });

  keep.set("a:1", "new");

  expect(keep.get("a:1")).toBe("new");
});
