import { describe, expect, test } from "vitest";
import { type Lead, type LeadPage, Problem } from "./api";
import { leadBook, type Leads } from "./leads";

const lead = (id: string, more: Partial<Lead> = {}): Lead => ({
  id,
  title: id,
  stage: "new",
  source: "Shop",
  contact: { id: `contact-${id}`, name: id },
  created_at: "2026-01-01T00:00:00Z",
  session_id: "session",
  transcript: false,
  source_details: {},
  ...more,
});

/** A server with pages of two, and everything that the page was told. */
class Desk {
  kept: Lead[] = [];
  told: Leads[] = [];
  reads: (string | null)[] = [];
  loggedOut = 0;
  problem: Error | null = null;
  /** What happens on the server while it answers. */
  meanwhile: (() => void) | null = null;

  readonly book = leadBook(
    (cursor) => this.#read(cursor),
    (leads) => this.told.push(leads),
    () => (this.loggedOut += 1),
  );

  async #read(cursor: string | null): Promise<LeadPage> {
    this.reads.push(cursor);
    await Promise.resolve();
    if (this.problem !== null) throw this.problem;
    const from = cursor === null ? 0 : this.kept.findIndex((one) => one.id === cursor) + 1;
    const items = this.kept.slice(from, from + 2);
    const next = from + 2 < this.kept.length ? (items.at(-1)?.id ?? null) : null;
    const { meanwhile } = this;
    this.meanwhile = null;
    meanwhile?.();
    return { items, next_cursor: next };
  }

  get shown(): Leads {
    const last = this.told.at(-1);
    if (last === undefined) throw new Error("nothing was told");
    return last;
  }

  get ids(): string[] {
    return this.shown.items.map((one) => one.id);
  }
}

function deskWith(...ids: string[]): Desk {
  const desk = new Desk();
  desk.kept = ids.map((id) => lead(id));
  return desk;
}

describe("the page of leads", () => {
  test("news show a new lead and a new transcript, and leave nothing out that was shown", async () => {
    const desk = deskWith("d", "c", "b", "a");
    await desk.book.renew();
    await desk.book.more();
    desk.kept = [lead("e"), ...desk.kept.map((one) => (one.id === "b" ? { ...one, transcript: true } : one))];
    desk.told = [];
    await desk.book.renew();

    expect(desk.ids).toEqual(["e", "d", "c", "b"]);
    expect(desk.shown.items.find((one) => one.id === "b")?.transcript).toBe(true);
    // The list stays on the screen while it is read again.
    expect(desk.told.map((one) => one.step)).toEqual(["ready"]);
    await desk.book.more();
    expect(desk.ids).toEqual(["e", "d", "c", "b", "a"]);
    expect(desk.shown.cursor).toBeNull();
  });

  test("news that come while it reads make it read once more", async () => {
    const desk = deskWith("a");
    desk.meanwhile = () => {
      desk.kept = [lead("b"), ...desk.kept];
      void desk.book.renew();
      void desk.book.renew();
    };
    await desk.book.renew();

    expect(desk.ids).toEqual(["b", "a"]);
    expect(desk.reads).toEqual([null, null]);
  });

  test("a new lead between two pages is shown once", async () => {
    const desk = deskWith("c", "b", "a");
    await desk.book.renew();
    const reading = desk.book.more();
    const renewing = desk.book.renew();
    desk.kept = [lead("d"), ...desk.kept];
    await Promise.all([reading, renewing]);

    expect([...new Set(desk.ids)]).toEqual(desk.ids);
  });

  test("when it cannot be read again what is shown stays, and can be tried again", async () => {
    const desk = deskWith("a");
    await desk.book.renew();
    desk.problem = new Problem(503, "the disk is full");
    await desk.book.renew();

    expect(desk.shown).toMatchObject({ step: "failed", problem: "the disk is full" });
    expect(desk.ids).toEqual(["a"]);
    desk.problem = null;
    await desk.book.renew();
    expect(desk.shown.step).toBe("ready");
  });

  test("who is logged out is told so", async () => {
    const desk = deskWith("a");
    desk.problem = new Problem(401, "");
    await desk.book.renew();

    expect(desk.loggedOut).toBe(1);
  });

  test("a page that has gone is told nothing", async () => {
    const desk = deskWith("a");
    const reading = desk.book.renew();
    desk.book.close();
    await reading;

    expect(desk.told).toEqual([]);
  });
});
