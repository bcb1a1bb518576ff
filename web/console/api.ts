// The REST calls of the console. Errors are problem+json (RFC 9457): what to tell the operator stands in `detail`.

/** What the server said instead of an answer; status 0 when it said nothing at all. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly detail: string,
    /** The reason as a word. */
    readonly code = "",
    /** Seconds. */
    readonly retryAfter = 0,
  ) {
    super(detail || `HTTP ${status}`);
  }
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

const ROOT = "/api/v1";

async function call(method: "GET" | "POST", path: string, body?: unknown): Promise<unknown> {
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

/** A proxy in between may answer with a page of its own: then there is only the status. */
function problemOf(status: number, answer: unknown): Problem {
  const said = (typeof answer === "object" ? answer : null) as {
    title?: string;
    detail?: string;
    code?: string;
    retry_after?: number;
  } | null;
  return new Problem(status, said?.detail ?? said?.title ?? "", said?.code, said?.retry_after);
}

export async function me(): Promise<Operator> {
  return (await call("GET", "/me")) as Operator;
}

export async function login(login: string, password: string): Promise<Operator> {
  return (await call("POST", "/login", { login, password })) as Operator;
}

export async function logout(): Promise<void> {
  await call("POST", "/logout");
}

export async function changePassword(current: string, wanted: string): Promise<void> {
  await call("POST", "/password", { current, new: wanted });
}

export async function leads(cursor: string | null): Promise<LeadPage> {
  return (await call("GET", cursor === null ? "/leads" : `/leads?cursor=${encodeURIComponent(cursor)}`)) as LeadPage;
}

export async function transcript(session: string): Promise<TranscriptLine[]> {
  const answer = (await call("GET", `/sessions/${encodeURIComponent(session)}/transcript`)) as { messages: TranscriptLine[] };
  return answer.messages;
}
