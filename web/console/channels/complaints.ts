// What the server finds wrong with a form, beside the fields that it names.

import { Problem } from "../api";
import { adviceOf, type ChannelTexts, problemSaid } from "./texts";

export interface Complaints {
  /** By field. */
  wrong: Readonly<Record<string, string>>;
  /** What belongs to none of them. */
  problem: string;
}

export const NO_COMPLAINTS: Complaints = { wrong: {}, problem: "" };

/** The complaints in *error* about a form that has *fields*. */
export function complaintsOf(texts: ChannelTexts, error: unknown, fields: ReadonlySet<string>): Complaints {
  if (!(error instanceof Problem) || error.status === 0) return { wrong: {}, problem: problemSaid(texts, error) };
  // Of all that is sent only the short name can be somebody else's already.
  if (error.status === 409 && fields.has("slug")) return { wrong: { slug: texts.t("slug_taken") }, problem: "" };
  const wrong: Record<string, string> = {};
  for (const { field, detail } of error.fields) {
    if (field === "kind") return { wrong: {}, problem: texts.t("kind_unknown") };
    // `settings.folders.0` is about the field of the folders.
    const key = field.replace(/^settings\./u, "").split(".")[0] ?? "";
    if (fields.has(key)) wrong[key] ??= adviceOf(texts, error.code, detail);
  }
  return { wrong, problem: Object.keys(wrong).length > 0 ? "" : problemSaid(texts, error) };
}
