import { expect, test } from "vitest";
import { firstOf, inOrder, loadOutbox, saveOutbox, type DetailsItem, type SayItem } from "./outbox";
import { fakeKeep, FakeStorage } from "./testing/world";

const PREFIX = "omniline:host:shop:out:";

const say = (id: string, order: number, changes: Partial<SayItem> = {}): SayItem => ({
  t: "say",
  id,
  order,
  text: `text ${id}`,
  page: "",
  failed: "",
  ...changes,
});
const details: DetailsItem = { t: "details", id: "form-1", order: 9, name: "Ann", email: "", phone: "" };

test("what was written is there after a reload, in the order of writing", () => {
  const keep = fakeKeep();
  const queue = inOrder([say("message-b", 2), say("message-a", 1), details]);

  saveOutbox(keep, PREFIX, [], queue);

  expect(loadOutbox(keep, PREFIX)).toEqual(queue);
  expect(queue.map(({ id }) => id)).toEqual(["message-a", "message-b", "form-1"]);
});

test("what left the queue leaves the storage, and nothing else does", () => {
  const keep = fakeKeep();
  const [first, second] = [say("message-a", 1), say("message-b", 2)];
  saveOutbox(keep, PREFIX, [], [first, second]);

  saveOutbox(keep, PREFIX, [first, second], [second]);

  expect(loadOutbox(keep, PREFIX)).toEqual([second]);
});

test("two tabs write at once, and neither takes away what the other wrote", () => {
  const storage = new FakeStorage();
  const [one, other] = [fakeKeep(storage), fakeKeep(storage)];

  saveOutbox(one, PREFIX, [], [say("message-a", 1)]);
  saveOutbox(other, PREFIX, [], [say("message-b", 2)]);

  expect(loadOutbox(one, PREFIX).map(({ id }) => id)).toEqual(["message-a", "message-b"]);
});

test("the form goes before words that were written earlier", () => {
  expect(firstOf([say("message-a", 1), details])).toBe(details);
});

test("a message that failed for good does not hold up the next", () => {
  const next = say("message-b", 2);

  expect(firstOf([say("message-a", 1, { failed: "unreadable" }), next])).toBe(next);
});

test.each(["", "{", "null", "[]", '{"t":"say","id":"message-a"}', '{"t":"other","id":"message-a","order":1}'])(
  "a damaged row is passed over: %s",
  (json) => {
    const keep = fakeKeep();
    keep.set(`${PREFIX}message-a`, json);

    expect(loadOutbox(keep, PREFIX)).toEqual([]);
  },
);
