import { expect, test } from "vitest";
import { hashOf, parseRoute } from "./routes";

const SESSION = "01890a5d-ac96-774b-bcce-b302099a8057";
const CHANNELS = ["#/channels", "#/channels/new", "#/channels/new/telegram", `#/channels/${SESSION}`];

test("every screen has an address, and the address leads to it", () => {
  for (const hash of ["#/mine", "#/waiting", "#/all", "#/calls", "#/missed", "#/leads", "#/board", "#/sounds", `#/s/${SESSION}`, ...CHANNELS]) {
    expect(hashOf(parseRoute(hash))).toBe(hash);
  }
});

test("an address that leads nowhere leads to my dialogues", () => {
  for (const hash of ["", "#", "#/", "#/nowhere", "#/s/", "#/s/not-an-id", "#/channels/not-an-id", "#/channels/new/a/b"]) {
    expect(parseRoute(hash)).toEqual({ screen: "list", box: "mine" });
  }
});
