import { expect, test } from "vitest";
import { type Bulk, BULK_MAX, type BulkItem, Problem } from "./api";
import { doInBulk } from "./bulk";

const many = Array.from({ length: BULK_MAX + 1 }, (_, index) => `session-${index}`);

/** A server that refuses whatever *refuses* says, and remembers what it was told. */
function server(refuses: (session: string) => boolean = () => false) {
  const told: Bulk[] = [];
  async function send(part: Bulk): Promise<BulkItem[]> {
    told.push(part);
    await Promise.resolve();
    return part.sessions.map((session_id) => {
      const accepted = !refuses(session_id);
      return { session_id, accepted, code: accepted ? "" : "closed", text: "" };
    });
  }
  return { told, send };
}

test("more than one request may name go in several, each with an id of its own", async () => {
  const { told, send } = server();
  const result = await doInBulk({ verb: "close", sessions: many, outcome: "sold", id: "bulk-id" }, send);

  expect(told.map((part) => [part.id, part.sessions.length, part.outcome])).toEqual([
    ["bulk-id-0", BULK_MAX, "sold"],
    ["bulk-id-1", 1, "sold"],
  ]);
  expect(result).toEqual({ accepted: BULK_MAX + 1, failed: [] });
});

test("what was refused is told with its reason", async () => {
  const { send } = server((session) => session === "session-1");
  const result = await doInBulk({ verb: "assign", sessions: many.slice(0, 3), line_id: "shop", id: "bulk-id" }, send);

  expect(result).toMatchObject({ accepted: 2, failed: [{ session_id: "session-1", code: "closed" }] });
});

test("a failure is told as it is, and said again it has the same ids", async () => {
  const { told, send } = server();
  const what: Bulk = { verb: "close", sessions: many, id: "bulk-id" };
  const broken = async (part: Bulk): Promise<BulkItem[]> => {
    if (part.id === "bulk-id-1") throw new Problem(503, "full");
    return send(part);
  };

  await expect(doInBulk(what, broken)).rejects.toThrow("full");
  await doInBulk(what, send);
  expect(told.map((part) => part.id)).toEqual(["bulk-id-0", "bulk-id-0", "bulk-id-1"]);
});
