// What is attached to the next answer of each dialogue: files on their way to the server and those that are there. They go on when
// another dialogue is looked at, and what has been uploaded survives a reload with the draft.

import { Problem } from "./api";
import type { Attachment } from "./extras";

/** Files of one answer. */
export const FILES_MAX = 10;
/** What the server keeps, whatever a channel takes. */
export const FILE_BYTES_MAX = 50 * 1_048_576;
/** Uploads at the same time: more would only make each of them slower. */
const AT_ONCE = 2;
/** What the server says of a file that it would not take another time either. */
const FOR_GOOD: ReadonlySet<string> = new Set(["too_large", "empty_file"]);

/** Why a file is not taken, as a word of ours or of the server's; *detail*: the server's own sentence. */
export interface Complaint {
  code: string;
  detail: string;
}

export interface Attached {
  key: string;
  name: string;
  size: number;
  /** `unfit`: it would not be taken, however often it is sent. */
  state: "waiting" | "sending" | "ready" | "failed" | "unfit";
  /** How much of it has been sent, 0 to 1. */
  sent: number;
  complaint: Complaint | null;
  /** Once it is there. */
  file: Attachment | null;
}

export type Upload<F> = (session: string, file: F, tell: (sent: number) => void, aborted: AbortSignal) => Promise<Attachment>;

export interface Surroundings<F> {
  upload: Upload<F>;
  newId(): string;
  /** What an earlier page had uploaded for the session, and did not send. */
  kept(session: string): readonly Attachment[];
  keep(session: string, files: readonly Attachment[]): void;
}

/** The largest file that a channel takes of us; 0: none. */
export function bytesMax(filesMax: number): number {
  return Math.min(filesMax, FILE_BYTES_MAX);
}

/** They can be sent: every one of them is there. */
export function areReady(attached: readonly Attached[]): boolean {
  return attached.every((one) => one.state === "ready");
}

export function areComing(attached: readonly Attached[]): boolean {
  return attached.some((one) => one.state === "waiting" || one.state === "sending");
}

export class Uploads<F extends { name: string; size: number }> {
  readonly #around: Surroundings<F>;
  readonly #lists = new Map<string, readonly Attached[]>();
  readonly #sources = new Map<string, { session: string; file: F }>();
  readonly #running = new Map<string, AbortController>();
  readonly #listeners = new Set<() => void>();

  constructor(around: Surroundings<F>) {
    this.#around = around;
  }

  of(session: string): readonly Attached[] {
    let list = this.#lists.get(session);
    if (list === undefined) {
      list = this.#around.kept(session).map((file) => there(this.#around.newId(), file));
      this.#lists.set(session, list);
    }
    return list;
  }

  /** Attach *files* of at most *max* bytes each; return how many there was no room for. */
  add(session: string, files: readonly F[], max: number): number {
    const list = this.of(session);
    const taken = files.slice(0, Math.max(0, FILES_MAX - list.length));
    const fresh = taken.map((file): Attached => {
      const code = file.size === 0 ? "empty_file" : file.size > max ? "too_large" : "";
      const key = this.#around.newId();
      if (code === "") this.#sources.set(key, { session, file });
      const complaint = code === "" ? null : { code, detail: "" };
      return { key, name: file.name, size: file.size, state: code === "" ? "waiting" : "unfit", sent: 0, complaint, file: null };
    });
    this.#set(session, [...list, ...fresh]);
    this.#next();
    return files.length - taken.length;
  }

  /** Take it away again, also while it is on its way. */
  remove(session: string, key: string): void {
    this.#forget(key);
    this.#set(
      session,
      this.of(session).filter((one) => one.key !== key),
    );
    this.#next();
  }

  retry(session: string, key: string): void {
    this.#change(session, key, { state: "waiting", sent: 0, complaint: null });
    this.#next();
  }

  /** Return what is there, and begin anew: it is being sent. */
  take(session: string): Attachment[] {
    const list = this.of(session);
    for (const one of list) this.#forget(one.key);
    this.#set(session, []);
    return list.flatMap((one) => (one.state === "ready" && one.file !== null ? [one.file] : []));
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #next(): void {
    for (const [key, { session, file }] of this.#sources) {
      if (this.#running.size >= AT_ONCE) return;
      if (this.#running.has(key) || this.of(session).find((one) => one.key === key)?.state !== "waiting") continue;
      void this.#run(session, key, file);
    }
  }

  async #run(session: string, key: string, file: F): Promise<void> {
    const controller = new AbortController();
    this.#running.set(key, controller);
    this.#change(session, key, { state: "sending" });
    try {
      const kept = await this.#around.upload(session, file, (sent) => this.#change(session, key, { sent }), controller.signal);
      if (controller.signal.aborted) return;
      this.#sources.delete(key);
      this.#change(session, key, { ...there(key, kept), name: (kept.name ?? "") || file.name });
    } catch (error) {
      if (controller.signal.aborted) return;
      const complaint = complaintOf(error);
      if (FOR_GOOD.has(complaint.code)) this.#sources.delete(key);
      this.#change(session, key, { state: FOR_GOOD.has(complaint.code) ? "unfit" : "failed", sent: 0, complaint });
    } finally {
      if (this.#running.get(key) === controller) this.#running.delete(key);
      this.#next();
    }
  }

  #forget(key: string): void {
    this.#sources.delete(key);
    this.#running.get(key)?.abort();
    this.#running.delete(key);
  }

  #change(session: string, key: string, change: Partial<Attached>): void {
    this.#set(
      session,
      this.of(session).map((one) => (one.key === key ? { ...one, ...change } : one)),
    );
  }

  #set(session: string, list: readonly Attached[]): void {
    const files = (of: readonly Attached[]): (Attachment | null)[] => of.map((one) => one.file).filter((file) => file !== null);
    const before = files(this.#lists.get(session) ?? []);
    const after = files(list);
    this.#lists.set(session, list);
    if (before.length !== after.length || before.some((file, at) => file !== after[at])) {
      this.#around.keep(session, after.filter((file) => file !== null));
    }
    for (const listener of [...this.#listeners]) listener();
  }
}

function there(key: string, file: Attachment): Attached {
  return { key, name: file.name ?? "", size: file.size ?? 0, state: "ready", sent: 1, complaint: null, file };
}

function complaintOf(error: unknown): Complaint {
  return error instanceof Problem ? { code: error.code, detail: error.detail } : { code: "", detail: "" };
}
