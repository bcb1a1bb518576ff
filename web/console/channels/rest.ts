// The channels over REST, and what came in by them and nobody could read.

import { ask, ROOT } from "../api";

/** A value of a setting, as JSON has it. */
export type Value = string | number | boolean | null | readonly Value[] | { readonly [key: string]: Value };
export type Settings = Readonly<Record<string, Value>>;

export interface Health {
  /** `waiting`: it is asked again by itself; `refused`: somebody must act. */
  state: "unknown" | "well" | "waiting" | "refused";
  /** Why, as a word; empty: only `problem` says it. */
  code: string;
  problem: string;
  /** ISO 8601, as every time over REST. */
  since: string | null;
  /** When its provider was last heard, */
  heard_at: string | null;
  /** and when a customer last wrote. */
  came_at: string | null;
}

export interface Channel {
  id: string;
  line_id: string;
  slug: string;
  kind: string;
  name: string;
  active: boolean;
  version: number;
  /** Without its secrets. */
  settings: Settings;
  /** Whether there is one, by its name. */
  secrets: Readonly<Record<string, boolean>>;
  /** Null: there is no provider that could let us in or not. */
  health: Health | null;
}

export interface ChannelDetail extends Channel {
  /** Messages that wait to be sent. */
  to_send: number;
  /** Where its provider brings messages to; empty: the server does not know its own address. */
  hook: string;
}

export interface Line {
  id: string;
  slug: string;
  name: string;
  active: boolean;
}

export interface NewChannel {
  line_id: string;
  slug: string;
  kind: string;
  name: string;
  settings: Settings;
}

export type ChannelChange = Partial<Pick<Channel, "line_id" | "name" | "active" | "settings">>;

/** What a provider says of an account. */
export interface Probed {
  name: string;
  /** Where customers find it. */
  address: string;
  /** What will not work as it is, as words. */
  warnings: string[];
}

export interface Letter {
  id: string;
  /** A channel's id, or a word for what has none. */
  origin: string;
  external_id: string;
  conversation_id: string | null;
  at: string;
  reason: string;
  bytes: number;
  /** Nobody could read it, which a newer version may. */
  replayable: boolean;
}

interface Page {
  items: unknown[];
  next_cursor: string | null;
}

/** The most that is counted of what waits to be sent. */
export const TO_SEND_MAX = 10_000;
/** A house has no more channels or lines than so many pages hold, and nobody looks at more letters. */
const PAGES_MAX = 20;

export async function channels(): Promise<Channel[]> {
  return (await everyPage("/channels")).items as Channel[];
}

export async function lines(): Promise<Line[]> {
  return (await everyPage("/lines")).items as Line[];
}

export async function channel(id: string): Promise<ChannelDetail> {
  return (await ask("GET", addressOf(id))) as ChannelDetail;
}

export async function addChannel(wanted: NewChannel): Promise<Channel> {
  return (await ask("POST", "/channels", wanted)) as Channel;
}

export async function changeChannel(id: string, change: ChannelChange): Promise<Channel> {
  return (await ask("PATCH", addressOf(id), change)) as Channel;
}

/** Ask the provider; of a channel that is there, *settings* are what differs. */
export async function probe(kind: string, settings: Settings, channel_id: string | null): Promise<Probed> {
  return (await ask("POST", "/channels/probe", { kind, settings, channel_id })) as Probed;
}

/** A channel's dead letters, the newest first; *more*: there may be older ones that were not looked at. */
export async function lettersOf(id: string): Promise<{ items: Letter[]; more: boolean }> {
  const { items, more } = await everyPage("/dead-letters");
  return { items: (items as Letter[]).filter((letter) => letter.origin === id), more };
}

export async function replay(letter: string): Promise<void> {
  await ask("POST", `/dead-letters/${encodeURIComponent(letter)}/replay`);
}

/** Where a dead letter is downloaded as it came. */
export function rawOf(letter: string): string {
  return `${ROOT}/dead-letters/${encodeURIComponent(letter)}/raw`;
}

function addressOf(id: string): string {
  return `/channels/${encodeURIComponent(id)}`;
}

async function everyPage(path: string): Promise<{ items: unknown[]; more: boolean }> {
  const items: unknown[] = [];
  let cursor: string | null = null;
  for (let count = 0; count < PAGES_MAX; count += 1) {
    const page = (await ask("GET", cursor === null ? path : `${path}?cursor=${encodeURIComponent(cursor)}`)) as Page;
    items.push(...page.items);
    cursor = page.next_cursor;
    if (cursor === null) return { items, more: false };
  }
  return { items, more: true };
}
