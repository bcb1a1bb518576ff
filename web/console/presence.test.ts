import { expect, test, vi } from "vitest";
import { shelf } from "./kept";
import { IDLE_MS, presenceToSay, watchPresence } from "./presence";

test("who does nothing for five minutes is away, unless they switched that off", () => {
  expect(presenceToSay({ chosen: "online", auto: true }, IDLE_MS - 1)).toBe("online");
  expect(presenceToSay({ chosen: "online", auto: true }, IDLE_MS)).toBe("away");
  expect(presenceToSay({ chosen: "online", auto: false }, IDLE_MS)).toBe("online");
});

test("input brings nobody back who chose to be away or offline", () => {
  expect(presenceToSay({ chosen: "away", auto: true }, 0)).toBe("away");
  expect(presenceToSay({ chosen: "offline", auto: true }, IDLE_MS)).toBe("offline");
});

test("what is chosen is said, though it is what was said last: another computer may have spoken since", () => {
  vi.stubGlobal("addEventListener", () => undefined);
  vi.stubGlobal("removeEventListener", () => undefined);
  const said: string[] = [];
  const watch = watchPresence(shelf(), "ann", (presence) => said.push(presence));
  watch.change({ auto: false });
  expect(said).toEqual(["online"]);
  watch.change({ chosen: "online" });
  expect(said).toEqual(["online", "online"]);
  watch.stop();
  vi.unstubAllGlobals();
});
