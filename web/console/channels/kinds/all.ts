// Every kind of which we know a form, in the order in which they are offered. A new kind is a file here, a line below, and its words.

import type { KindForm } from "../forms";
import { PHONE } from "./phone";
import { TELEGRAM } from "./telegram";
import { VK } from "./vk";
import { WIDGET } from "./widget";

export const KINDS: readonly KindForm[] = [TELEGRAM, VK, WIDGET, PHONE];

/** The form of *kind*; of one that only the server knows, one that shows what its settings are. */
export function formOf(kind: string): KindForm {
  return KINDS.find((form) => form.kind === kind) ?? { kind, probed: false, steps: 0, groups: [] };
}
