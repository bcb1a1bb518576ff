// A kind's form as a description, and what is made of it: what stands in its fields, what of that is sent, what is missing.

import type { Settings, Value } from "./rest";

interface About {
  /** The setting's name. Its label is `KIND.KEY` in the catalogue, a hint beneath it `KIND.KEY.hint`, an option `KIND.KEY.OPTION`. */
  key: string;
  /** What a new channel begins with. */
  standard: Value;
  required?: true;
  /** Whether the provider lets us in hangs on it: a change of it is to be tested. */
  access?: true;
  /** Seldom needed: folded. */
  more?: true;
  /** It shares its row with the field before it. */
  beside?: true;
  /** Shown only then. */
  when?: (shown: Shown) => boolean;
}

export type Field = About &
  (
    | { as: "text"; input?: "email" | "url"; example?: string }
    | { as: "number"; min: number; max: number }
    /** It is never told; empty keeps the one that there is. */
    | { as: "secret" }
    /** Several lines. */
    | { as: "words" }
    | { as: "bool" }
    /** One a line. */
    | { as: "list"; example?: string }
    | { as: "choice"; options: readonly (string | number)[] }
    | { as: "set"; options: readonly string[] }
  );

export interface Group {
  /** Its title is `KIND.TITLE`; empty: it needs none. */
  title: string;
  fields: readonly Field[];
  /** A word of advice, `KIND.note.WORD`, above the fields; empty: none. */
  note?: (shown: Shown) => string;
}

/** A kind of channel; how it looks to an administrator. */
export interface KindForm {
  kind: string;
  /** There is a provider that can be asked. */
  probed: boolean;
  /** How one comes by what the form asks for: `KIND.step.1`, … */
  steps: number;
  /** Where the first step leads. */
  link?: string;
  groups: readonly Group[];
  /** What follows from what stands there already; it fills fields in which nobody has written. */
  suggest?: (shown: Shown) => Shown;
  /** Secrets of which there must be one. */
  oneOf?: readonly string[];
  /** Its provider brings messages to an address of ours. */
  hooked?: (shown: Shown) => boolean;
}

/** What stands in a field: a text, a tick, several ticks; null: a secret that is to be taken away. */
export type Raw = string | boolean | readonly string[] | null;
/** By setting. */
export type Shown = Readonly<Record<string, Raw>>;

/** A channel as its form needs it; null: there is none yet. */
export type Present = { settings: Settings; secrets: Readonly<Record<string, boolean>> } | null;

/** The fields in their groups: of a channel that is there those that its version has, and what we have no words for under `others`. */
export function groupsOf(form: KindForm, present: Present): readonly Group[] {
  if (present === null) return form.groups;
  const here = (key: string): boolean => key in present.settings || key in present.secrets;
  const known = new Set(form.groups.flatMap((group) => group.fields.map((field) => field.key)));
  const groups = form.groups.map((group) => ({ ...group, fields: group.fields.filter((field) => here(field.key)) }));
  const others = [
    ...Object.keys(present.secrets).flatMap((key): Field[] => (known.has(key) ? [] : [{ key, as: "secret", standard: "", access: true }])),
    ...Object.entries(present.settings).flatMap(([key, value]) => (known.has(key) ? [] : fieldFor(key, value))),
  ];
  return [...groups, { title: "others", fields: others }].filter((group) => group.fields.length > 0);
}

/** A field for a setting that we know only by its value; none for what only REST can change. */
function fieldFor(key: string, value: Value): Field[] {
  if (typeof value === "boolean") return [{ key, as: "bool", standard: value, more: true }];
  if (typeof value === "number") return [{ key, as: "number", standard: value, more: true, min: -Infinity, max: Infinity }];
  if (typeof value === "string") return [{ key, as: "text", standard: value, more: true }];
  if (Array.isArray(value) && value.every((one) => typeof one === "string")) return [{ key, as: "list", standard: value, more: true }];
  return [];
}

/** What stands in each field: what was written, else what is suggested for a new channel, else what is so now. */
export function shownIn(form: KindForm, groups: readonly Group[], present: Present, written: Shown): Shown {
  const fields = groups.flatMap((group) => group.fields);
  const now = Object.fromEntries(fields.map((field) => [field.key, rawOf(field, present === null ? field.standard : present.settings[field.key])]));
  const suggested = present === null ? (form.suggest?.({ ...now, ...written }) ?? {}) : {};
  return { ...now, ...suggested, ...written };
}

export function fieldsShown(groups: readonly Group[], shown: Shown): Field[] {
  return groups.flatMap((group) => group.fields.filter((field) => field.when?.(shown) !== false));
}

/** What is to be sent: of a new channel all that has a value, of one that is there what differs from now. */
export function settingsOf(fields: readonly Field[], present: Present, shown: Shown): Settings {
  const settings: Record<string, Value> = {};
  for (const field of fields) {
    const raw = shown[field.key];
    if (raw === undefined) continue;
    const value = valueOf(field, raw);
    if (value === undefined) continue;
    if (field.as === "secret") {
      // What is typed; or nothing, where it is to be taken away.
      if (value !== "" || (raw === null && present?.secrets[field.key] === true)) settings[field.key] = value;
    } else if (present === null ? !isEmpty(value) : !isSame(value, present.settings[field.key])) {
      settings[field.key] = value;
    }
  }
  return settings;
}

/** Whether *settings* change how the provider is asked. */
export function changesAccess(fields: readonly Field[], settings: Settings): boolean {
  return fields.some((field) => field.access === true && field.key in settings);
}

export type Fault = "needed" | "not_a_number";

/** What cannot be sent so, by setting. */
export function faultsOf(form: KindForm, fields: readonly Field[], present: Present, shown: Shown): Record<string, Fault> {
  const faults: Record<string, Fault> = {};
  const there = (key: string): boolean => {
    const raw = rawIn(shown, key);
    return raw === "" ? present?.secrets[key] === true : raw !== null;
  };
  for (const field of fields) {
    const raw = rawIn(shown, field.key);
    const value = valueOf(field, raw);
    if (value === undefined) faults[field.key] = "not_a_number";
    else if (field.required === true && (field.as === "secret" ? !there(field.key) : isEmpty(value))) faults[field.key] = "needed";
  }
  const [first] = form.oneOf?.filter((key) => fields.some((field) => field.key === key)) ?? [];
  if (first !== undefined && form.oneOf?.some(there) === false) faults[first] = "needed";
  return faults;
}

/** What stands in the field *key*; null, a secret that is to be taken away, is not nothing. */
export function rawIn(shown: Shown, key: string): Raw {
  const raw = shown[key];
  return raw === undefined ? "" : raw;
}

/** How a setting stands in its field. */
export function rawOf(field: Field, value: Value | undefined): Raw {
  switch (field.as) {
    case "secret":
      return "";
    case "bool":
      return value === true;
    case "set":
      return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
    case "list":
      return Array.isArray(value) ? value.map(asText).join("\n") : "";
    case "text":
    case "words":
    case "number":
    case "choice":
      return asText(value);
  }
}

/** The setting that a field stands for; undefined: it is none. */
export function valueOf(field: Field, raw: Raw): Value | undefined {
  switch (field.as) {
    case "bool":
      return raw === true;
    case "set":
      // In the order in which they are offered.
      return field.options.filter((option) => ticks(raw).includes(option));
    case "list":
      return asText(raw)
        .split(/[\n,;]/u)
        .map((line) => line.trim())
        .filter((line) => line !== "");
    case "number": {
      const text = asText(raw).trim();
      const number = Number(text);
      return text !== "" && Number.isInteger(number) && number >= field.min && number <= field.max ? number : undefined;
    }
    case "choice":
      return field.options.find((option) => String(option) === raw) ?? asText(raw);
    case "words":
      return asText(raw).trimEnd();
    case "text":
    case "secret":
      return asText(raw).trim();
  }
}

/** What is ticked in a set. */
export function ticks(raw: Raw): readonly string[] {
  return typeof raw === "object" && raw !== null ? raw : [];
}

function asText(value: unknown): string {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : "";
}

function isEmpty(value: Value): boolean {
  return value === "" || value === null || (Array.isArray(value) && value.length === 0);
}

function isSame(a: Value, b: Value | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
