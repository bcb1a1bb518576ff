import { describe, expect, test } from "vitest";
import type { Call } from "./api";
import { callPresets, counted, dialled, spansOf } from "./calls";
import { fieldOf } from "./snooze";

const CAME = Date.parse("2026-05-10T12:00:00Z");
const SECOND = 1000;

function call(more: Partial<Call> = {}): Call {
  return {
    number: "+79001234567",
    called: "74951234567",
    came_at: new Date(CAME).toISOString(),
    talk_at: null,
    talk_ended_at: null,
    outgoing: false,
    reached: false,
    recording: false,
    voicemail: false,
    voicemail_seconds: 0,
    stars: 0,
    problem: "",
    ...more,
  };
}

const at = (seconds: number): string => new Date(CAME + seconds * SECOND).toISOString();

describe("how long", () => {
  test("a caller waits until a phone is lifted", () => {
    expect(spansOf(call(), 0)).toEqual({ waited: { from: CAME, to: null }, calling: null, talked: null });
    expect(spansOf(call({ talk_at: at(20) }), 0)).toEqual({
      waited: { from: CAME, to: CAME + 20 * SECOND },
      calling: null,
      talked: { from: CAME + 20 * SECOND, to: null },
    });
  });

  test("a caller whom nobody answered has waited until the session was closed", () => {
    expect(spansOf(call(), CAME + 90 * SECOND)).toEqual({ waited: { from: CAME, to: CAME + 90 * SECOND }, calling: null, talked: null });
  });

  test("whom we call waits for nothing: their phone rings while the operator's is lifted, then they talk", () => {
    const ours = (more: Partial<Call> = {}): Call => call({ outgoing: true, ...more });
    const lifted = CAME + 20 * SECOND;

    expect(spansOf(ours(), 0)).toEqual({ waited: null, calling: null, talked: null });
    expect(spansOf(ours({ talk_at: at(20) }), 0)).toEqual({ waited: null, calling: { from: lifted, to: null }, talked: null });
    expect(spansOf(ours({ talk_at: at(20) }), CAME + 60 * SECOND).calling).toBeNull();
    expect(spansOf(ours({ talk_at: at(20), reached: true }), 0)).toEqual({ waited: null, calling: null, talked: { from: lifted, to: null } });
  });

  test("they talk until one of them hangs up, also when the session is closed before that", () => {
    expect(spansOf(call({ talk_at: at(20) }), CAME + 60 * SECOND).talked?.to).toBeNull();
    expect(spansOf(call({ talk_at: at(20), talk_ended_at: at(80) }), CAME + 60 * SECOND).talked?.to).toBe(CAME + 80 * SECOND);
  });
});

test("a number is dialled bare, and what is none is not dialled", () => {
  expect(["8 (800) 555-35-35", "+7\u00a0900\u2013123", "02", "9.11"].map(dialled)).toEqual(["88005553535", "+7900123", "02", "911"]);
  expect(["", "1", "+", "12+3", "call me", "sip:1@2", "1".repeat(21), "\u0661\u0662"].map(dialled)).toEqual(Array(8).fill(""));
});

test("a clock counts minutes and seconds, and hours when there are some; never below nothing", () => {
  expect([-5, 5_400, 754_000, 3_723_000].map(counted)).toEqual(["0:00", "0:05", "12:34", "1:02:03"]);
});

test("somebody may be called in a quarter of an hour, in an hour, or tomorrow morning", () => {
  const now = new Date(2026, 5, 3, 23, 50).getTime();

  expect(callPresets(now).map(({ preset, at: due }) => [preset, fieldOf(due)])).toEqual([
    ["quarter", "2026-06-04T00:05"],
    ["hour", "2026-06-04T00:50"],
    ["tomorrow", "2026-06-04T09:00"],
  ]);
});
