import { describe, expect, test } from "vitest";
import { canGo, leftOf, stanceOf, TEXT_MAX } from "./composer";
import { card, held, ME } from "./testing/samples";
import type { Attached } from "./uploads";

const CAN = { kind: "telegram", text_max: 4_096, files_max: 20_000_000, quotes: true, asks_phone: true };
const SITE = { kind: "widget", text_max: 8_000 };
const EMPTY = { text: "", note: false };
const NOTE = { text: "", note: true };
const stance = (shown = held("a"), can: typeof CAN | typeof SITE | null = CAN, draft = EMPTY, gone = false) => stanceOf(shown, ME, can, draft, gone);

describe("how one may write", () => {
  test("my dialogue is answered, with all that its channel can", () => {
    expect(stance()).toEqual({
      kind: "reply",
      chosen: true,
      inTurn: true,
      textMax: 4_096,
      filesMax: 20_000_000,
      noFiles: "",
      quotes: true,
      asksPhone: true,
    });
  });

  test("a channel that we know nothing of takes words only", () => {
    const site = { textMax: TEXT_MAX, filesMax: 0, noFiles: "no_channel", quotes: false, asksPhone: false };

    expect([stance(held("a"), SITE), stance(held("a"), null)]).toMatchObject([site, site]);
  });

  test("a note is of ours alone: it has no files, answers nobody, and is as long as we like", () => {
    expect(stance(held("a"), CAN, NOTE)).toMatchObject({
      kind: "note",
      chosen: true,
      textMax: TEXT_MAX,
      filesMax: 0,
      noFiles: "in_note",
      quotes: false,
      asksPhone: false,
    });
  });

  test("a colleague's dialogue can be noted only", () => {
    expect(stance(held("a", { operator: "op-else" }))).toMatchObject({ kind: "note", chosen: false, inTurn: false, noFiles: "not_now" });
  });

  test("who waits is answered", () => {
    expect(stance(card("a"))).toMatchObject({ kind: "reply", noFiles: "" });
  });

  test("a closed dialogue is begun again by words alone", () => {
    expect(stance(held("a", { status: "closed" }))).toMatchObject({ kind: "start", inTurn: false, noFiles: "not_now", quotes: false });
  });

  test("a talk of mine is noted, also when it is over", () => {
    const call = { channel: "phone" };

    expect(stance(held("a", call))).toMatchObject({ kind: "note", chosen: false, inTurn: true });
    expect(stance(held("a", { ...call, status: "closed" }))).toMatchObject({ kind: "note", inTurn: false });
  });

  test("to a dialogue that left my lists nothing is attached", () => {
    expect(stance(held("a"), CAN, EMPTY, true)).toMatchObject({ filesMax: 0, noFiles: "not_now" });
  });
});

describe("whether it can go", () => {
  const file = (state: Attached["state"]): Attached => ({ key: state, name: "x", size: 1, state, sent: 1, complaint: null, file: null });

  test("words or files are enough, and nothing is not", () => {
    expect([canGo(stance(), "Hi", []), canGo(stance(), "", [file("ready")]), canGo(stance(), " \n", [])]).toEqual([true, true, false]);
  });

  test.each(["waiting", "sending", "failed", "unfit"] as const)("a file that is %s holds it", (state) => {
    expect(canGo(stance(), "Hi", [file("ready"), file(state)])).toBe(false);
  });

  test("a note goes whatever is attached to the next answer, and not by its files", () => {
    const note = stance(held("a"), CAN, NOTE);

    expect([canGo(note, "Hi", [file("sending")]), canGo(note, "", [file("ready")])]).toEqual([true, false]);
  });

  test("what is too long does not, and length is of characters", () => {
    expect(leftOf(` ${"😀".repeat(10)} `, 10)).toBe(0);
    expect([canGo(stance(), "x".repeat(4_096), []), canGo(stance(), "x".repeat(4_097), [])]).toEqual([true, false]);
  });
});
