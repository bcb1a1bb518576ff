import { expect, test } from "vitest";
import { Problem } from "../api";
import { outcomeOf, readAgain } from "./letters";
import type { Letter } from "./rest";

function letter(id: string): Letter {
  return { id, origin: "c", external_id: id, conversation_id: null, at: "2026-05-10T10:00:00Z", reason: "not JSON", bytes: 3, replayable: true };
}

test("letters are read again in the order in which they came, whatever becomes of one", async () => {
  const order: string[] = [];

  const counted = await readAgain(
    [letter("new"), letter("bad"), letter("old")],
    async (id) => {
      order.push(id);
      if (id === "bad") throw new Problem(422, "it still cannot be read: not JSON", "still_unreadable");
      await Promise.resolve();
    },
    () => undefined,
  );

  expect([order, counted]).toEqual([["old", "bad", "new"], { read: 2, left: 1 }]);
});

test("when the server does not answer the rest is left", async () => {
  const told: string[] = [];

  const counted = await readAgain(
    [letter("new"), letter("old")],
    () => Promise.reject(new Problem(0, "")),
    (id) => told.push(id),
  );

  expect([told, counted]).toEqual([["old"], { read: 0, left: 2 }]);
});

test("why it could not be read is a word of ours where there is one", () => {
  expect(outcomeOf(new Problem(409, "", "not_replayable"))).toEqual({ read: false, word: "letter_undecided", text: "" });
  expect(outcomeOf(new Problem(404, "its channel is switched off", "not_found"))).toEqual({ read: false, word: "letter_channel_off", text: "" });
  expect(outcomeOf(new Problem(422, "too odd", "odd"))).toEqual({ read: false, word: "", text: "too odd" });
});
