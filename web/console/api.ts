// The REST calls of the console. Errors are problem+json (RFC 9457): what to tell the operator stands in `detail`.

import type { Presence } from "../shared/frames/operator";

/** What is wrong with one field, by a dotted path; empty: with the whole. */
export interface FieldProblem {
  field: string;
  detail: string;
}

/** What the server said instead of an answer; status 0 when it said nothing at all. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly detail: string,
    /** The reason as a word. */
    readonly code = "",
    /** Seconds. */
    readonly retryAfter = 0,
    /** What is wrong with which field of what was sent. */
    readonly fields: readonly FieldProblem[] = [],
  ) {
    super(detail || `HTTP ${status}`);
  }
}

/** What the server said of an error; empty when it said nothing, or when the error is our own. */
export function detailOf(error: unknown): string {
  return error instanceof Problem ? error.detail : "";
}

export interface Operator {
  id: string;
  login: string;
  name: string;
  language: string;
}

export interface Source {
  page?: string;
  title?: string;
  referrer?: string;
  utm?: Record<string, string>;
}

export interface Lead {
  id: string;
  title: string;
  stage: string;
  source: string;
  contact: { id: string; name: string };
  /** ISO 8601, as every time over REST. */
  created_at: string;
  session_id: string | null;
  transcript: boolean;
  source_details: Source;
}

export interface LeadPage {
  items: Lead[];
  next_cursor: string | null;
}

export interface TranscriptLine {
  who: string;
  name: string;
  text: string;
  at: string;
}

export interface TargetLine {
  id: string;
  name: string;
  open: boolean;
  opens_at: string | null;
}

export interface TargetOperator {
  id: string;
  name: string;
  presence: Presence;
  on_shift: boolean;
  load: number;
  budget: number;
  /** The lines they sit in. */
  lines: string[];
  /** They have one for calls. */
  phone: boolean;
}

/** To whom a session can be passed. */
export interface Targets {
  lines: TargetLine[];
  operators: TargetOperator[];
}

/** A seat that a decision looked at. */
export interface Considered {
  operator_id: string;
  name: string;
  /** The reason as a word; `text` is its sentence. */
  why: string;
  text: string;
  /** When that is over, if it is known. */
  until: string | null;
}

export interface MadeOffer {
  operator_id: string;
  name: string;
  state: string;
  text: string;
  ended_at: string | null;
}

/** One step of a session's story, in sentences of the asker's language. */
export interface Decision {
  at: string;
  kind: string;
  rule: string;
  settings_version: number;
  /** Null: it is not decided but how it stands now. */
  engine: number | null;
  text: string;
  seats: Considered[];
  chosen: string[];
  until: string | null;
  offer_no: number | null;
  offers: MadeOffer[];
}

export interface DecisionPage {
  decisions: Decision[];
  /** A page may be short, or empty, and still have a next one. */
  next_cursor: number | null;
}

export interface BoardLine {
  id: string;
  name: string;
  open: boolean;
  opens_at: string | null;
  waiting: number;
  offered: number;
  active: number;
  snoozed: number;
  oldest_waiting_since: string | null;
  missed_24h: number;
  answered_24h: number;
  kpi_missed_24h: number;
}

export interface BoardOperator {
  id: string;
  name: string;
  presence: Presence;
  on_shift: boolean;
  load: number;
  budget: number;
  sessions: number;
  offers: number;
  declined_24h: number;
  ran_out_24h: number;
}

export interface Board {
  at: string;
  lines: BoardLine[];
  operators: BoardOperator[];
}

/** What is known of the call of a session. Times are ISO 8601. */
export interface Call {
  /** The caller's, E.164 where it can be; empty: withheld. */
  number: string;
  called: string;
  came_at: string;
  /** When an operator's phone was lifted; of one that we make: and then the customer's. */
  talk_at: string | null;
  talk_ended_at: string | null;
  /** We make it. */
  outgoing: boolean;
  /** Of one that we make: the customer has answered. */
  reached: boolean;
  /** There is one, and I may hear it; so with the voice message. */
  recording: boolean;
  voicemail: boolean;
  voicemail_seconds: number;
  /** The caller's, 1 to 5; 0: they said none. */
  stars: number;
  /** What went wrong with it. */
  problem: string;
}

/** A call that is to be made. */
export interface CallWish {
  number: string;
  line_id?: string;
  session_id?: string;
  contact_id?: string;
  /** Ours: said again, it is made once. */
  id: string;
}

/** By whoever can then. */
export interface CallbackWish extends CallWish {
  /** ISO 8601. */
  at: string;
  mine: boolean;
}

export interface CallAsked {
  conversation_id: string | null;
  number: string;
}

/** A supervisor's opinion of a closed session. */
export interface Review {
  stars: number;
  comment: string;
  by: string;
  by_name: string;
  at: string;
}

export interface Bulk {
  verb: "close" | "assign";
  sessions: readonly string[];
  outcome?: string;
  operator_id?: string;
  line_id?: string;
  /** Ours: said again, it is done once. */
  id: string;
}

export interface BulkItem {
  session_id: string;
  accepted: boolean;
  code: string;
  text: string;
}

/** The most that one request of `bulk` may name. */
export const BULK_MAX = 100;

/** Below it is all that is asked for. */
export const ROOT = "/api/v1";

/** What the server answers; null when it has nothing to say. Raises Problem. */
export async function ask(method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE", path: string, body?: unknown): Promise<unknown> {
  const request: RequestInit = { method, credentials: "same-origin", headers: { Accept: "application/json" } };
  if (body !== undefined) {
    request.body = JSON.stringify(body);
    request.headers = { Accept: "application/json", "Content-Type": "application/json" };
  }
  let response: Response;
  try {
    response = await fetch(ROOT + path, request);
  } catch {
    throw new Problem(0, "");
  }
  const answer: unknown = await response.json().catch(() => null);
  if (!response.ok) throw problemOf(response.status, answer);
  return answer;
}

/** What is not there is null. */
async function askOrNothing(path: string): Promise<unknown> {
  try {
    return await ask("GET", path);
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
}

/** A proxy in between may answer with a page of its own: then there is only the status. */
export function problemOf(status: number, answer: unknown): Problem {
  const said = (typeof answer === "object" ? answer : null) as {
    title?: string;
    detail?: string;
    code?: string;
    retry_after?: number;
    errors?: FieldProblem[];
  } | null;
  return new Problem(status, said?.detail ?? said?.title ?? "", said?.code, said?.retry_after, said?.errors);
}

export async function me(): Promise<Operator> {
  return (await ask("GET", "/me")) as Operator;
}

export async function login(login: string, password: string): Promise<Operator> {
  return (await ask("POST", "/login", { login, password })) as Operator;
}

export async function logout(): Promise<void> {
  await ask("POST", "/logout");
}

export async function changePassword(current: string, wanted: string): Promise<void> {
  await ask("POST", "/password", { current, new: wanted });
}

export async function leads(cursor: string | null): Promise<LeadPage> {
  return (await ask("GET", cursor === null ? "/leads" : `/leads?cursor=${encodeURIComponent(cursor)}`)) as LeadPage;
}

export async function transcript(session: string): Promise<TranscriptLine[]> {
  const answer = (await ask("GET", `/sessions/${encodeURIComponent(session)}/transcript`)) as { messages: TranscriptLine[] };
  return answer.messages;
}

export async function targets(): Promise<Targets> {
  return (await ask("GET", "/targets")) as Targets;
}

/** In the language of the screen, which may be another than the account's. */
export async function decisions(session: string, cursor: number | null, language: string): Promise<DecisionPage> {
  const query = cursor === null ? "" : `&cursor=${cursor}`;
  return (await ask("GET", `/sessions/${encodeURIComponent(session)}/routing?language=${language}${query}`)) as DecisionPage;
}

export async function board(): Promise<Board> {
  return (await ask("GET", "/board")) as Board;
}

/** Null: nobody has reviewed it yet. */
export async function review(session: string): Promise<Review | null> {
  return (await askOrNothing(`/sessions/${encodeURIComponent(session)}/review`)) as Review | null;
}

/** Null: nothing is known of a call there. */
export async function callOf(session: string): Promise<Call | null> {
  return (await askOrNothing(`/sessions/${encodeURIComponent(session)}/call`)) as Call | null;
}

/** Where a call can be heard. */
export function soundOf(session: string, what: "recording" | "voicemail"): string {
  return `${ROOT}/sessions/${encodeURIComponent(session)}/call/${what}`;
}

/** My phone rings, and when I lift it the customer's. */
export async function startCall(wish: CallWish): Promise<CallAsked> {
  return (await ask("POST", "/calls", wish)) as CallAsked;
}

export async function promiseCall(wish: CallbackWish): Promise<CallAsked> {
  return (await ask("POST", "/callbacks", wish)) as CallAsked;
}

export async function setReview(session: string, stars: number, comment: string): Promise<Review> {
  return (await ask("PUT", `/sessions/${encodeURIComponent(session)}/review`, { stars, comment })) as Review;
}

export async function bulk(what: Bulk): Promise<BulkItem[]> {
  return ((await ask("POST", "/sessions/bulk", what)) as { items: BulkItem[] }).items;
}

/** Let two contacts be one person, or remember that they are two. */
export async function settleAlike(contact: string, other: string, same: boolean): Promise<void> {
  const both = `/contacts/${encodeURIComponent(contact)}/duplicates/${encodeURIComponent(other)}`;
  await (same ? ask("POST", `${both}/join`) : ask("DELETE", both));
}

export async function setBanned(contact: string, banned: boolean): Promise<void> {
  await ask("PATCH", `/contacts/${encodeURIComponent(contact)}`, { banned });
}
