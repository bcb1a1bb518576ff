// Made from channels/widget/frames.py by `python -m tests.tools.generated`. Do not edit: change the source and run it again.
//
// A field with a default is optional: whoever sends leaves the default out.

/** The first frame: who is here (a token from an earlier visit) and where they look. */
export interface Hello {
  t: "hello";
  /** Default: null. */
  token?: string | null;
  /** Default: 0. */
  since?: number;
  /** Default: "". */
  lang?: string;
  /** Default: "". */
  page?: string;
  /** Default: "". */
  title?: string;
  /** Default: "". */
  referrer?: string;
  /** Default: {}. */
  utm?: Record<string, string>;
}

/** The visitor writes. *text* is 1..8,000 characters after trimming (longer: refused `too_long`). */
export interface Say {
  t: "say";
  id: string;
  text: string;
  /** Default: "". */
  page?: string;
}

/** The pre-chat form, or a later correction of it. */
export interface Details {
  t: "details";
  id: string;
  /** Default: "". */
  name?: string;
  /** Default: "". */
  email?: string;
  /** Default: "". */
  phone?: string;
}

/** The visitor presses the button *value* of the newest message. */
export interface Press {
  t: "press";
  id: string;
  value: string;
}

/** The visitor wants to be called: at *at*, epoch milliseconds, at most 30 days ahead; 0: as soon as somebody can. */
export interface Callback {
  t: "callback";
  id: string;
  phone: string;
  /** Default: "". */
  name?: string;
  /** Default: 0. */
  at?: number;
}

/** Everything up to *upto* has arrived; *read*: and was on a visible screen. */
export interface Seen {
  t: "seen";
  upto: number;
  /** Default: false. */
  read?: boolean;
}

/** The visitor is writing; nobody keeps this. */
export interface Typing {
  t: "typing";
}

/** Give the page of history before *before*. */
export interface Older {
  t: "older";
  before: number;
}

/** Are you there? Sent every 25 s when nothing else was. */
export interface Ping {
  t: "ping";
}

/** A button beneath a message; *value* is what a `press` says. */
export interface Button {
  label: string;
  value: string;
}

/** One message as the visitor may see it. *who*: `me`, `operator` or `system`; *at*: epoch milliseconds. */
export interface Shown {
  seq: number;
  who: "me" | "operator" | "system";
  text: string;
  at: number;
  /** Default: "". */
  name?: string;
  /** For `me`: the client's id of the `say` frame. Default: "". */
  id?: string;
  /** To be shown while this is the newest message; of earlier ones they are not told. Default: []. */
  buttons?: Button[];
}

/** Who you are, what the line looks like, and what you have not seen: `history` holds seq > since, at most 100, the newest. */
export interface Welcome {
  t: "welcome";
  token: string;
  line: string;
  language: string;
  /** Which fields the pre-chat form has; empty: no form. */
  ask: ("name" | "email" | "phone")[];
  /** Which of them we already have. */
  known: ("name" | "email" | "phone")[];
  required: ("name" | "email" | "phone")[];
  history: Shown[];
  /** True: more than 100 were missed; forget what was shown and begin with `history`, reach the rest by `older`. */
  gap: boolean;
  /** True: there is earlier history than the first of `history`. */
  more: boolean;
  state: "none" | "waiting" | "active" | "closed";
  /** Default: "". */
  operator?: string;
  /** Default: 8000. */
  text_max?: number;
  /** True: beside what is required, an e-mail or a phone is, whichever they like. Default: false. */
  reach?: boolean;
  /** When the line opens, epoch milliseconds; 0: it is open, or nobody knows. Default: 0. */
  opens_at?: number;
  /** True: they may ask to be called. Default: false. */
  callback?: boolean;
}

/** The frame *id* is stored under *seq*. */
export interface Ack {
  t: "ack";
  id: string;
  seq: number;
  at: number;
}

/** They will be called at *phone*, as it is dialled, once *at* has come, epoch milliseconds; 0: as soon as somebody can. */
export interface Promised {
  t: "promised";
  id: string;
  phone: string;
  /** Default: 0. */
  at?: number;
}

/** A message that is new to this socket. */
export interface Message {
  t: "message";
  message: Shown;
}

/** A page of earlier messages, oldest first. */
export interface History {
  t: "history";
  messages: Shown[];
  more: boolean;
}

/** Where the session stands, and who answers. */
export interface State {
  t: "state";
  state: "none" | "waiting" | "active" | "closed";
  /** Default: "". */
  operator?: string;
}

/** The line has opened or closed: what the form asks for from now on, and when we open. As in `welcome`. */
export interface Hours {
  t: "hours";
  ask: ("name" | "email" | "phone")[];
  /** Default: false. */
  reach?: boolean;
  /** Default: 0. */
  opens_at?: number;
}

/** Somebody is writing an answer. */
export interface OperatorTyping {
  t: "typing";
  /** Default: "". */
  name?: string;
}

/**
 * That frame was not accepted.
 *
 * Codes: empty, too_long, bad_details, details_required, no_button, too_many, full, unavailable, id_used; of a callback also no_callback
 * (there is none here), bad_phone, bad_time, called_already (calls to that number wait, or were many today), too_many_calls (from here).
 */
export interface Refused {
  t: "refused";
  id: string;
  code: string;
  text: string;
  /** Default: 0. */
  retry_after?: number;
}

/** The socket will be closed. Codes: bad_frame, bad_token, no_line, hello_first, too_many, slow. */
export interface Error {
  t: "error";
  code: string;
  text: string;
  /** Default: 0. */
  retry_after?: number;
}

/** Here. */
export interface Pong {
  t: "pong";
}

export type VisitorFrame = Hello | Say | Details | Press | Callback | Seen | Typing | Older | Ping;

export type ServerFrame =
  | Welcome
  | Ack
  | Promised
  | Message
  | History
  | State
  | Hours
  | OperatorTyping
  | Refused
  | Error
  | Pong;
