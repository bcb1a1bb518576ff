import { expect, test } from "vitest";
import { IDLE_MS, presenceToSay } from "./presence";

test("who does nothing for five minutes is away, unless they switched that off", () => {
  expect(presenceToSay({ chosen: "online", auto: true }, IDLE_MS - 1)).toBe("online");
  expect(presenceToSay({ chosen: "online", auto: true }, IDLE_MS)).toBe("away");
  expect(presenceToSay({ chosen: "online", auto: false }, IDLE_MS)).toBe("online");
});

test("input brings nobody back who chose to be away or offline", () => {
  expect(presenceToSay({ chosen: "away", auto: true }, 0)).toBe("away");
  expect(presenceToSay({ chosen: "offline", auto: true }, IDLE_MS)).toBe("offline");
});
