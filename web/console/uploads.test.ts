import { beforeEach, describe, expect, test } from "vitest";
import { Problem } from "./api";
import type { Attachment } from "./extras";
import { areComing, areReady, bytesMax, FILE_BYTES_MAX, FILES_MAX, Uploads } from "./uploads";

interface Source {
  name: string;
  size: number;
}

/** An upload that the test ends. */
interface Running {
  session: string;
  name: string;
  tell: (sent: number) => void;
  aborted: AbortSignal;
  done: (file: Attachment) => void;
  fail: (error: Error) => void;
}

const MB = 1_048_576;
let running: Running[];
let shelf: Map<string, readonly Attachment[]>;
let ids: number;

function page(): Uploads<Source> {
  running = [];
  return new Uploads<Source>({
    upload: (session, file, tell, aborted) =>
      new Promise((done, fail) => {
        running.push({ session, name: file.name, tell, aborted, done, fail });
      }),
    newId: () => `k${++ids}`,
    kept: (session) => shelf.get(session) ?? [],
    keep: (session, files) => shelf.set(session, files),
  });
}

const kept = (name: string): Attachment => ({ kind: "document", state: "ready", id: `id-${name}`, name, size: 5 });
const states = (uploads: Uploads<Source>, session = "a"): string[] => uploads.of(session).map((one) => `${one.name} ${one.state}`);
/** Until what was resolved has been heard of. */
const heard = (): Promise<void> => new Promise((done) => setTimeout(done));

function one(no: number): Running {
  const found = running[no];
  if (found === undefined) throw new Error(`no upload ${no} was begun`);
  return found;
}

beforeEach(() => {
  shelf = new Map();
  ids = 0;
});

describe("uploads", () => {
  test("two go at a time, the others wait their turn", async () => {
    const uploads = page();
    uploads.add("a", ["x", "y", "z"].map((name) => ({ name, size: 5 })), 10);
    expect(states(uploads)).toEqual(["x sending", "y sending", "z waiting"]);

    one(0).done(kept("x"));
    await heard();

    expect(states(uploads)).toEqual(["x ready", "y sending", "z sending"]);
    expect([areReady(uploads.of("a")), areComing(uploads.of("a"))]).toEqual([false, true]);
  });

  test("how far one is, is told to whoever looks", () => {
    const uploads = page();
    const seen: number[] = [];
    uploads.add("a", [{ name: "x", size: 5 }], 10);
    uploads.subscribe(() => seen.push(uploads.of("a")[0]?.sent ?? -1));

    one(0).tell(0.25);
    one(0).tell(0.5);

    expect(seen).toEqual([0.25, 0.5]);
  });

  test("what is too large for the channel, or empty, is not sent at all", () => {
    const uploads = page();
    uploads.add("a", [{ name: "big", size: 11 }, { name: "empty", size: 0 }, { name: "fits", size: 10 }], 10);

    expect(states(uploads)).toEqual(["big unfit", "empty unfit", "fits sending"]);
    expect(uploads.of("a").map((file) => file.complaint?.code)).toEqual(["too_large", "empty_file", undefined]);
    expect(running.map((upload) => upload.name)).toEqual(["fits"]);
  });

  test("the server's own bound goes before a channel's larger one", () => {
    expect([bytesMax(0), bytesMax(20 * MB), bytesMax(2_000 * MB)]).toEqual([0, 20 * MB, FILE_BYTES_MAX]);
  });

  test("an answer takes ten files; how many there was no room for is told", () => {
    const uploads = page();
    const files = Array.from({ length: 8 }, (_, no) => ({ name: `f${no}`, size: 5 }));

    expect([uploads.add("a", files, 10), uploads.add("a", files, 10)]).toEqual([0, 6]);
    expect(uploads.of("a")).toHaveLength(FILES_MAX);
  });

  test("one that is taken away on its way is broken off, and the next one begins", async () => {
    const uploads = page();
    uploads.add("a", ["x", "y", "z"].map((name) => ({ name, size: 5 })), 10);
    uploads.remove("a", uploads.of("a")[0]?.key ?? "");
    await heard();

    expect(one(0).aborted.aborted).toBe(true);
    expect(states(uploads)).toEqual(["y sending", "z sending"]);
  });

  test("one that failed says why, and is sent again when it is asked for", async () => {
    const uploads = page();
    uploads.add("a", [{ name: "x", size: 5 }], 10);
    one(0).fail(new Problem(503, "Come again.", "unavailable"));
    await heard();
    expect(uploads.of("a")[0]).toMatchObject({ state: "failed", complaint: { code: "unavailable", detail: "Come again." } });

    uploads.retry("a", uploads.of("a")[0]?.key ?? "");
    one(1).done(kept("x"));
    await heard();

    expect(states(uploads)).toEqual(["x ready"]);
    expect(areReady(uploads.of("a"))).toBe(true);
  });

  test("one that the server would never take is not sent again", async () => {
    const uploads = page();
    uploads.add("a", [{ name: "x", size: 5 }], 10);
    one(0).fail(new Problem(413, "It is too large.", "too_large"));
    await heard();

    expect(uploads.of("a")[0]).toMatchObject({ state: "unfit", complaint: { detail: "It is too large." } });
  });

  test("they go on while another dialogue is looked at, each in its own", async () => {
    const uploads = page();
    uploads.add("a", [{ name: "x", size: 5 }], 10);
    uploads.add("b", [{ name: "y", size: 5 }], 10);
    one(0).done(kept("x"));
    await heard();

    expect([states(uploads, "a"), states(uploads, "b")]).toEqual([["x ready"], ["y sending"]]);
  });

  test("what was uploaded survives a reload; what was on its way does not", async () => {
    const uploads = page();
    uploads.add("a", [{ name: "x", size: 5 }, { name: "y", size: 5 }], 10);
    one(0).done(kept("x"));
    await heard();

    expect(states(page())).toEqual(["x ready"]);
  });

  test("what is sent is no longer kept, and leaves room for more", async () => {
    const uploads = page();
    uploads.add("a", [{ name: "x", size: 5 }], 10);
    one(0).done(kept("x"));
    await heard();

    expect(uploads.take("a")).toEqual([kept("x")]);
    expect([uploads.of("a"), page().of("a")]).toEqual([[], []]);
  });
});
