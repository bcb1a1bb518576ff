// Made from operators/frames.py by `python -m tests.tools.generated`. Do not edit: change the source and run it again.
//
// A field with a default is optional: whoever sends leaves the default out.

export type Box = "mine" | "waiting" | "all" | "calls" | "missed";

export type Presence = "online" | "away" | "offline";

/** The first frame; *resume* is the last `at` this console has applied. */
export interface Hello {
  t: "hello";
  /** Default: null. */
  resume?: string | null;
}

/** An operator's deed. *id* is the console's own UUID of it: said again, it is done once. */
export interface Do {
  t: "do";
  id: string;
  session: string;
  verb: "take" | "decline" | "reply" | "note" | "close" | "transfer" | "assign" | "invite" | "join" | "leave" | "take_over" | "spam" | "snooze" | "start" | "hold" | "resume" | "consult" | "listen" | "settle" | "reword" | "take_back";
  /**
   * For reply, note, start and reword: 1..8,000 characters after trimming; of a reply none where it has files.
   *
   * With transfer and assign it is a note to whoever is next. Default: "".
   */
  text?: string;
  /** For close. Default: "". */
  outcome?: string;
  /** For transfer and assign (or *line*), invite and consult: a colleague's id. Default: "". */
  operator?: string;
  /** For transfer and assign: a line's id; the session's own: back to its queue. Default: "". */
  line?: string;
  /** For snooze: epoch milliseconds. Default: 0. */
  until?: number;
  /** For spam: what the contact writes from now on opens no session. Default: false. */
  ban?: boolean;
  /** For transfer of a call (or *operator* or *line*): a number outside, as people write it. Default: "". */
  number?: string;
  /** For listen: nobody hears the supervisor, the operator does, both do. Default: "listen". */
  how?: "listen" | "whisper" | "barge";
  /** For reply: ids of files uploaded for the session before. Default: []. */
  files?: string[];
  /** For reply: the seq of the message that it answers; 0: none. Default: 0. */
  answers?: number;
  /** For reply: with a button by which the customer tells their phone. Default: false. */
  asks_phone?: boolean;
  /** For reword and take_back: the seq of an operator's message that was sent. Default: 0. */
  message?: number;
}

/** Show the session's thread and send its updates from now on; one is open at a time on a socket. */
export interface Open {
  t: "open";
  session: string;
}

/** The thread is no longer on screen. */
export interface Leave {
  t: "leave";
}

/** Give the page of the conversation before *before* (a seq); earlier sessions follow on. */
export interface Older {
  t: "older";
  session: string;
  before: number;
}

/**
 * Give a page of a list; *after* is the `next` of the page before.
 *
 * `calls` are those under way, the latest first, at most 200; `missed` those that nobody answered and whose caller was not spoken with
 * since. Updates of `all`, `calls` and `missed` are those of every session: they come while one of the three is the last one asked for.
 */
export interface ListBox {
  t: "list";
  box: Box;
  /** Default: null. */
  after?: string | null;
}

/** The operator chose a state, or the browser saw them idle (away) or back (online). */
export interface SetPresence {
  t: "presence";
  state: Presence;
}

/** The operator keeps the session at hand, or no more; at most 100, and nobody else sees it. */
export interface Pin {
  t: "pin";
  session: string;
  on: boolean;
}

/** The operator is writing in the session. */
export interface Typing {
  t: "typing";
  session: string;
}

/** Are you there? Sent every 25 s when nothing else was. */
export interface Ping {
  t: "ping";
}

/** One file of a message. *ref*: the provider's name of it, by which it is fetched; *id*: ours (`files.id`), once it is here. */
export interface Attachment {
  kind: "photo" | "video" | "voice" | "audio" | "animation" | "sticker" | "document";
  /** Default: "awaited". */
  state?: "awaited" | "ready" | "too_large" | "gone";
  /** Default: "". */
  name?: string;
  /** Default: "". */
  media_type?: string;
  /** Bytes; 0: not known. Default: 0. */
  size?: number;
  /** Default: 0. */
  seconds?: number;
  /** Default: 0. */
  width?: number;
  /** Default: 0. */
  height?: number;
  /** Default: "". */
  ref?: string;
  /** By which its provider knows the same file again; empty: by its ref. Default: "". */
  origin?: string;
  /** Default: "". */
  id?: string;
  /** A picture of it can be shown. Default: false. */
  preview?: boolean;
  /** Why it is not here, in words. Default: "". */
  problem?: string;
}

/** What the message answers. *seq* 0: a message that we do not have. */
export interface Quote {
  /** Default: 0. */
  seq?: number;
  /** Default: "". */
  text?: string;
  /** Default: "". */
  name?: string;
}

/** A place on the map, in degrees. */
export interface Place {
  latitude: number;
  longitude: number;
  /** Default: "". */
  title?: string;
  /** Default: "". */
  address?: string;
}

/** A person's card; *own*: the provider vouches that it is the writer's. */
export interface SharedContact {
  /** Default: "". */
  name?: string;
  /** Default: "". */
  phone?: string;
  /** Default: false. */
  own?: boolean;
}

/** What a message said before; *until_ms*: when that changed, epoch milliseconds. */
export interface Version {
  text: string;
  until_ms: number;
}

/** See the module. */
export interface Extra {
  /** Default: []. */
  files?: Attachment[];
  /** Default: 0. */
  files_left_out?: number;
  /** Default: null. */
  quote?: Quote | null;
  /** Default: "". */
  forwarded_from?: string;
  /** Default: null. */
  place?: Place | null;
  /** Default: null. */
  shared?: SharedContact | null;
  /** Who of several people in the conversation wrote it. Default: "". */
  author?: string;
  /** What the customer thinks of it, as signs. Default: []. */
  reactions?: string[];
  /** The oldest first. Default: []. */
  versions?: Version[];
  /** Default: 0. */
  edited_ms?: number;
  /** Default: 0. */
  deleted_ms?: number;
  /** It shows the customer a button that tells their phone. Default: false. */
  asks_phone?: boolean;
  /** Of something else than words and files: what it is, as `poll` or `dice`, in the provider's own word. Default: "". */
  what?: string;
  /** Our side said it, but not here: in the provider's own program. Default: false. */
  elsewhere?: boolean;
}

/** One message of a thread. *at*: epoch milliseconds; *fate* is the product's word (broker.domain.Fate). */
export interface Shown {
  id: string;
  seq: number;
  who: "contact" | "operator" | "system";
  /** A note is for operators only. A call is one: its text is the caller's number in E.164 where it can be, empty: withheld. */
  kind: "said" | "note" | "call";
  text: string;
  at: number;
  fate: string;
  /** Default: "". */
  name?: string;
  /** Default: "". */
  operator?: string;
  /** The id of the `do` frame that wrote it, for the console's own pending copy. Default: "". */
  command?: string;
  /** Why it failed or is in doubt; of one that was changed since: why its customer still has it as it was. Default: "". */
  problem?: string;
  /** Default: "". */
  session?: string;
  /** What it has beside its words; a provider's own names of things are left out. Default: null. */
  extra?: Extra | null;
}

/** What a card says of a call. Times are epoch milliseconds; 0 where there is none. */
export interface Talk {
  /** The customer's, E.164 where it can be; empty: withheld. Default: "". */
  number?: string;
  /** We call them, the operator's phone first. Default: false. */
  outgoing?: boolean;
  /** Of an outgoing one: they have answered. Default: false. */
  reached?: boolean;
  /** Of an outgoing one: when they are to be called. Default: 0. */
  promised?: number;
  /** Of an outgoing one: how often they were called and did not answer. Default: 0. */
  tries?: number;
  /** When a phone was first lifted for it. Of an outgoing one: when the operator lifted theirs, and then when the customer did. Default: 0. */
  answered?: number;
  /** Since when its caller hears music: the operator has put them on hold, or asks a colleague. Default: 0. */
  held?: number;
  /** The colleague who is asked about it, by id. Default: "". */
  consulted?: string;
  /** The colleague has lifted the phone. Default: false. */
  lifted?: boolean;
  /** The supervisor whose phone rings so that they hear it, by id. Default: "". */
  listens?: string;
  /** Supervisors who hear it. Both are told to supervisors only, and never to whoever is listened to. Default: []. */
  listeners?: string[];
  /** The number outside to which an operator has passed it on. Default: "". */
  forward_to?: string;
  /** Nobody answered it, or it was lost, and its caller was not spoken with since. Default: false. */
  missed?: boolean;
  /** Of a missed one: when its caller is to be called back; past: they are being called. Default: 0. */
  planned?: number;
}

/** One session in a list. Times are epoch milliseconds; 0 where there is none. */
export interface Card {
  session: string;
  conversation: string;
  line: string;
  line_name: string;
  /** The channel's kind: widget, telegram, phone, … A session of `phone` is a call, answered by lifting a phone. */
  channel: string;
  status: string;
  contact: string;
  contact_name: string;
  opened: number;
  /** Default: 0. */
  queued?: number;
  /** Default: 0. */
  closed?: number;
  /** Default: 0. */
  changed?: number;
  /** Default: "". */
  operator?: string;
  /** Default: "". */
  operator_name?: string;
  /** To me; 0: not offered to me. Default: 0. */
  offered_until?: number;
  /** Since when the customer waits for an answer. Default: 0. */
  unanswered?: number;
  /** The beginning of the last message said, at most 140 characters. Default: "". */
  last_text?: string;
  /** Default: "". */
  last_who?: string;
  /** Default: 0. */
  last_seq?: number;
  /** Default: "". */
  outcome?: string;
  /** Colleagues who joined, by id. Default: []. */
  members?: string[];
  /** Default: []. */
  invited?: string[];
  /** Default: 0. */
  snoozed_until?: number;
  /** It began to wait outside the line's hours: when these begin. Default: 0. */
  opens_at?: number;
  /** While it is offered to a colleague: who passed it on, and may have it back until it is taken. Default: "". */
  passed_by?: string;
  /** What the customer said of it: good, bad. Default: "". */
  rating?: string;
  /** While it waits each point puts it before those who began to wait up to ten minutes sooner. Default: 0. */
  priority?: number;
  /** Of a call. Default: null. */
  talk?: Talk | null;
  /** What the last message is when it has no words: a kind of file, `place`, `contact`, or a provider's word for something else. Default: "". */
  last_what?: string;
}

/** A way to reach a contact: kind `phone`, `email` or `channel`; *evidence* `form`, `message` or `identity`. */
export interface Point {
  kind: string;
  /** As it was written. In a channel: a name that people use there, mostly none; never the channel's own id of a person. */
  value: string;
  /** Default: "". */
  evidence?: string;
  /** The channel's kind: widget, telegram, … Default: "". */
  channel?: string;
  /** Default: "". */
  channel_name?: string;
  /** Of a phone: in E.164, as it is called. Default: "". */
  number?: string;
}

/** Another contact who may be the same person: what *kind* of address both have, and how that came (*evidence*). */
export interface Alike {
  id: string;
  name: string;
  kind: string;
  value: string;
  /** Default: "". */
  evidence?: string;
}

/** The card of a person beside a thread. */
export interface Contact {
  id: string;
  name: string;
  /** Default: "". */
  language?: string;
  /** Default: []. */
  points?: Point[];
  /** Default: "". */
  responsible?: string;
  /** Default: "". */
  responsible_name?: string;
  /** What they write opens no session. Default: false. */
  banned?: boolean;
  /** Added to the line's, for sessions that open from now on. Default: 0. */
  priority?: number;
  /** Default: 0. */
  since?: number;
  /** Default: "". */
  page?: string;
  /** Default: "". */
  title?: string;
  /** Default: "". */
  referrer?: string;
  /** Default: {}. */
  utm?: Record<string, string>;
  /** The contact's latest other sessions, at most 10. Default: []. */
  earlier?: Card[];
  /** Default: []. */
  leads?: Record<string, string>[];
  /** There is a picture of them at /api/v1/contacts/{id}/avatar. Default: false. */
  avatar?: boolean;
  /** Why they take our messages in this conversation no more: blocked, denied, left. Default: "". */
  unreachable?: string;
  /** The word in the link by which they came. Default: "". */
  start?: string;
  /** Who may be the same person, at most 5. Default: []. */
  alike?: Alike[];
}

/** Who is logged in on this socket. */
export interface Me {
  id: string;
  login: string;
  name: string;
  role: string;
  language: string;
  presence: Presence;
  /** Default: 0. */
  load?: number;
  /** Default: 100. */
  budget?: number;
  /** Default: false. */
  password_generated?: boolean;
  /** I have one for calls. Default: false. */
  phone?: boolean;
}

/** A line from which customers can be called. */
export interface CallLine {
  id: string;
  name: string;
}

/** What channels of a kind can. */
export interface ChannelCan {
  kind: string;
  text_max: number;
  /** Bytes of the largest file; 0: none are taken. Default: 0. */
  files_max?: number;
  /** Default: false. */
  quotes?: boolean;
  /** Default: false. */
  edits?: boolean;
  /** Default: false. */
  deletes?: boolean;
  /** Default: false. */
  asks_phone?: boolean;
}

/** Another person of the house. */
export interface Colleague {
  id: string;
  name: string;
  presence: Presence;
}

/** How many are in a list. */
export interface Counts {
  mine: number;
  waiting: number;
}

/**
 * Everything on the first screen.
 *
 * *mine*: held by me, offered to me, joined by me or with me invited; *waiting*: in my lines, at most 100 of `counts`.
 */
export interface Snapshot {
  t: "snapshot";
  at: string;
  me: Me;
  colleagues: Colleague[];
  counts: Counts;
  mine: Card[];
  waiting: Card[];
  /** The server's clock, epoch milliseconds: waiting times and deadlines are counted by it. */
  now: number;
  /** Sessions I have pinned, the first pinned first. Default: []. */
  pins?: string[];
  /** The cards of those pins that are in neither list, but for sessions I may see no more. Default: []. */
  pinned?: Card[];
  /** Lines of mine from which customers can be called, by name; none: I can call nobody. Default: []. */
  calls_from?: CallLine[];
  /** By kind. Default: []. */
  channels?: ChannelCan[];
}

/** What was missed follows as updates; nothing on screen need be thrown away. *now*: as in a snapshot. */
export interface Resumed {
  t: "resumed";
  at: string;
  now: number;
}

/** The outgoing message *seq* (*upto*: and every outgoing one before it) now has *fate*. */
export interface FateChange {
  conversation: string;
  seq: number;
  fate: string;
  /** Default: false. */
  upto?: boolean;
  /** Default: "". */
  problem?: string;
}

/** Supervisors should look: *kpi_first*, *kpi_next*: an answer is late; *nobody*: there is nobody who could be asked. */
export interface Alert {
  session: string;
  what: "kpi_first" | "kpi_next" | "nobody";
  line_name: string;
  contact_name: string;
}

/**
 * One piece of news; exactly one field is set, or `card` with `message`, or `gone` alone.
 *
 * *card* replaces the session's card. *gone*: the session left every list of mine (another took it, or it closed and I had
 * no part in it), and it is not pinned, or I may see it no more. *counts* follow when they changed.
 */
export interface Update {
  /** Default: null. */
  card?: Card | null;
  /** Default: null. */
  message?: Shown | null;
  /** Of `message`, when there is no card with it. Default: "". */
  conversation?: string;
  /** Default: null. */
  fate?: FateChange | null;
  /** Of the open thread: the contact was completed or changed, or has another lead. Default: null. */
  contact?: Contact | null;
  /** Default: "". */
  gone?: string;
  /** Default: null. */
  colleague?: Colleague | null;
  /** Default: null. */
  counts?: Counts | null;
  /** Default: null. */
  load?: number | null;
  /** The id of a lead that was made or changed; what it says now is asked for over REST. Default: "". */
  lead?: string;
  /** To supervisors and administrators. Default: null. */
  alert?: Alert | null;
  /** All my pins, when they changed. Default: null. */
  pins?: string[] | null;
  /** To administrators: the id of a channel whose provider lets us in no more, or again; how it is is asked for over REST. Default: "". */
  channel?: string;
}

/** News in the order it happened. */
export interface Updates {
  t: "updates";
  n: number;
  at: string;
  list: Update[];
}

/** The deed *id* is stored. */
export interface Accepted {
  t: "accepted";
  id: string;
}

/**
 * The deed *id* was not done.
 *
 * Codes are the keys of operators.deeds.SENTENCES.
 */
export interface Refused {
  t: "refused";
  id: string;
  code: string;
  text: string;
  /** Default: 0. */
  retry_after?: number;
}

/** A session's thread: the latest 100 messages of its conversation, oldest first. */
export interface Thread {
  t: "thread";
  session: string;
  card: Card;
  contact: Contact;
  messages: Shown[];
  more: boolean;
}

/** Earlier messages, oldest first. */
export interface OlderPage {
  t: "older";
  session: string;
  messages: Shown[];
  more: boolean;
}

/** A page of a list. */
export interface Page {
  t: "page";
  box: Box;
  cards: Card[];
  /** Default: null. */
  next?: string | null;
}

/** The customer (`who` contact) or a colleague is writing in the conversation. */
export interface SomebodyTyping {
  t: "typing";
  conversation: string;
  who: "contact" | "operator";
  /** Default: "". */
  name?: string;
}

/**
 * Something asked for cannot be had (the socket stays), or the socket will be closed.
 *
 * Codes: bad_frame, hello_first, no_session, too_many_pins, forbidden, slow, unavailable.
 */
export interface Error {
  t: "error";
  code: string;
  text: string;
}

/** Here. */
export interface Pong {
  t: "pong";
}

export type ConsoleFrame = Hello | Do | Open | Leave | Older | ListBox | SetPresence | Pin | Typing | Ping;

export type GatewayFrame =
  | Snapshot
  | Resumed
  | Updates
  | Accepted
  | Refused
  | Thread
  | OlderPage
  | Page
  | SomebodyTyping
  | Error
  | Pong;
