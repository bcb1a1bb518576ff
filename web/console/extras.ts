// What a message has beside its words, laid out for the screen. Pure.

import type { ChannelCan, Me, Shown } from "../shared/frames/operator";

export type Extra = NonNullable<Shown["extra"]>;
export type Attachment = NonNullable<Extra["files"]>[number];
export type Quote = NonNullable<Extra["quote"]>;
export type Place = NonNullable<Extra["place"]>;
export type SharedContact = NonNullable<Extra["shared"]>;
export type FileKind = Attachment["kind"];

/** Pictures of one message that stand in its grid; what is above is told as a number on the last one. */
export const GRID_MAX = 9;
/** Characters of a message above an answer to it. */
const QUOTED_MAX = 300;
/** The longer side of a picture in a thread, in pixels. */
const EDGE = 320;
/** A panorama is still to be seen. */
const EDGE_MIN = 96;
/** As the server names what may be played (operators/files_rest.py); everything else it gives as a download only. */
const PLAYED = new Set(
  "audio/mpeg audio/ogg audio/mp4 audio/wav audio/webm audio/aac audio/flac video/mp4 video/webm video/ogg video/quicktime".split(" "),
);

export function isReady(file: Attachment): boolean {
  return file.state === "ready" && (file.id ?? "") !== "";
}

export function isAwaited(file: Attachment): boolean {
  return (file.state ?? "awaited") === "awaited";
}

/** An element of the page plays it. */
export function isPlayed(file: Attachment): boolean {
  return isReady(file) && PLAYED.has(file.media_type ?? "");
}

/** It moves, and an element plays it. */
export function isFilm(file: Attachment): boolean {
  return (file.kind === "video" || file.kind === "animation") && isPlayed(file);
}

/** Something to look at, side by side with others. */
function isPicture(file: Attachment): boolean {
  if (file.kind !== "photo" && file.kind !== "video" && file.kind !== "animation") return false;
  return isAwaited(file) || isFilm(file) || (isReady(file) && file.preview === true);
}

export interface Laid {
  pictures: Attachment[];
  /** A film that has no pictures beside it plays where it stands. */
  film: Attachment | null;
  stickers: Attachment[];
  sounds: Attachment[];
  /** What is only named: documents, and whatever is not here. */
  rows: Attachment[];
}

export function laidOut(files: readonly Attachment[]): Laid {
  const laid: Laid = { pictures: [], film: null, stickers: [], sounds: [], rows: [] };
  for (const file of files) {
    if (isPicture(file)) laid.pictures.push(file);
    else if (file.kind === "sticker" && isReady(file) && file.preview === true) laid.stickers.push(file);
    else if ((file.kind === "voice" || file.kind === "audio") && isPlayed(file)) laid.sounds.push(file);
    else laid.rows.push(file);
  }
  const [only] = laid.pictures;
  if (only !== undefined && laid.pictures.length === 1 && isFilm(only)) return { ...laid, pictures: [], film: only };
  return laid;
}

/** What can be looked at large: the pictures that are here. */
export function lookedAt(files: readonly Attachment[]): Attachment[] {
  return files.filter((file) => isPicture(file) && isReady(file));
}

export interface Grid {
  /** None of them empty. */
  rows: readonly (readonly Attachment[])[];
  /** Behind the last picture. */
  more: number;
}

/** How *pictures* stand: side by side, two or three in a row, and every row full. */
export function gridOf(pictures: readonly Attachment[]): Grid {
  const shown = pictures.slice(0, GRID_MAX);
  const rows: Attachment[][] = [];
  // Rows of three, with as many of two before them as it takes.
  for (let at = 0; at < shown.length; ) {
    const left = shown.length - at;
    const width = left === 1 ? 1 : left % 3 === 0 ? 3 : 2;
    rows.push(shown.slice(at, at + width));
    at += width;
  }
  return { rows, more: pictures.length - shown.length };
}

/** The room that a picture takes before it has come, in pixels: its own shape within bounds, or a plain one while it is not known. */
export function roomOf(file: Attachment): { width: number; height: number } {
  const { width = 0, height = 0 } = file;
  if (width <= 0 || height <= 0) return { width: 240, height: 180 };
  const scale = Math.min(1, EDGE / Math.max(width, height));
  const bounded = (side: number): number => Math.max(EDGE_MIN, Math.round(side * scale));
  return { width: bounded(width), height: bounded(height) };
}

export function degrees({ latitude, longitude }: Place): string {
  return `${latitude.toFixed(5)}, ${longitude.toFixed(5)}`;
}

/** Where a map of it is; nothing is loaded from there unless somebody goes there. */
export function mapOf({ latitude, longitude }: Place): string {
  const [lat, lon] = [latitude.toFixed(6), longitude.toFixed(6)];
  return `https://www.openstreetmap.org/?mlat=${lat}&mlon=${lon}#map=16/${lat}/${lon}`;
}

/** What a message that has no words is, as `Card.last_what` says it. */
export function whatOf({ files = [], place, shared, what = "" }: Extra): string {
  return files[0]?.kind ?? (place ? "place" : shared ? "contact" : what);
}

/** Of an outgoing message: its customer has it. */
const WITH_THEM: ReadonlySet<string> = new Set(["sent", "delivered", "read"]);

function isDeleted(message: Shown): boolean {
  return (message.extra?.deleted_ms ?? 0) > 0;
}

/** What may be done with one message. */
export type MessageVerb = "answer" | "reword" | "take_back";

/** *answers*: whether I may answer in its dialogue at all. */
export function verbsOf(message: Shown, me: Me | null, can: ChannelCan | null, answers: boolean): MessageVerb[] {
  if (me === null || can === null || !answers || message.kind !== "said" || message.who === "system" || isDeleted(message)) return [];
  const outgoing = message.who === "operator";
  if (outgoing && !WITH_THEM.has(message.fate)) return [];
  const own = outgoing && (message.operator === me.id || me.role !== "operator") && message.extra?.elsewhere !== true;
  const verbs: MessageVerb[] = can.quotes === true ? ["answer"] : [];
  if (own && can.edits === true && message.text !== "") verbs.push("reword");
  if (own && can.deletes === true) verbs.push("take_back");
  return verbs;
}

/** *message* as it is quoted above an answer to it. */
export function quoteOf(message: Shown): Quote {
  const text = Array.from(message.text).slice(0, QUOTED_MAX).join("");
  return { seq: message.seq, text, name: (message.extra?.author ?? "") || (message.name ?? "") };
}
