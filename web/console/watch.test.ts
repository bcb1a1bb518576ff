import { expect, test } from "vitest";
import { Problem } from "./api";
import { watch, type Watched } from "./watch";

/** A server and a clock, moved by hand. */
class Room {
  now = 0;
  reads = 0;
  told: Watched<number>[] = [];
  loggedOut = 0;
  problem: Error | null = null;
  waiting: { ms: number; then: () => void }[] = [];

  readonly watcher = watch(
    async () => {
      this.reads += 1;
      await Promise.resolve();
      if (this.problem !== null) throw this.problem;
      return this.reads;
    },
    5_000,
    (watched) => this.told.push(watched),
    () => (this.loggedOut += 1),
    {
      now: () => this.now,
      wait: (ms, then) => {
        const waiter = { ms, then };
        this.waiting.push(waiter);
        return () => {
          this.waiting = this.waiting.filter((one) => one !== waiter);
        };
      },
    },
  );

  /** Let what was asked be answered. */
  async answer(): Promise<void> {
    for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
  }

  async pass(): Promise<void> {
    const [first] = this.waiting.splice(0, 1);
    this.now += first?.ms ?? 0;
    first?.then();
    await this.answer();
  }
}

test("it is read at once and again, counted from the answer", async () => {
  const room = new Room();
  room.watcher.look();

  expect(room.waiting).toEqual([]);
  await room.answer();
  await room.pass();
  expect(room.told.map((one) => [one.value, one.readAt, one.failed])).toEqual([
    [1, 0, false],
    [2, 5_000, false],
  ]);
  expect(room.waiting.map((one) => one.ms)).toEqual([5_000]);
});

test("when the server fails, what was known stays with its time and is marked; it goes on asking", async () => {
  const room = new Room();
  room.watcher.look();
  await room.answer();
  room.problem = new Problem(503, "full");
  await room.pass();

  expect(room.told.at(-1)).toEqual({ value: 1, readAt: 0, failed: true, problem: "full" });
  room.problem = null;
  await room.pass();
  expect(room.told.at(-1)).toEqual({ value: 3, readAt: 10_000, failed: false, problem: "" });
});

test("while nobody looks nothing is asked, and a late answer is told to nobody", async () => {
  const room = new Room();
  room.watcher.look();
  room.watcher.rest();
  await room.answer();

  expect(room.told).toEqual([]);
  expect(room.waiting).toEqual([]);
  room.watcher.look();
  await room.answer();
  expect(room.told).toHaveLength(1);
});

test("who looks again while it is being read makes no second question", async () => {
  const room = new Room();
  room.watcher.look();
  room.watcher.rest();
  room.watcher.look();
  await room.answer();

  expect(room.reads).toBe(1);
  expect(room.waiting).toHaveLength(1);
});

test("who is logged out is told so once, and asks no more", async () => {
  const room = new Room();
  room.problem = new Problem(401, "");
  room.watcher.look();
  await room.answer();

  expect(room.loggedOut).toBe(1);
  expect(room.waiting).toEqual([]);
});
