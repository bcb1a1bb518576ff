import type { KindForm } from "../forms";

/** Calls that a telephone exchange brings. */
export const PHONE: KindForm = {
  kind: "phone",
  probed: false,
  steps: 0,
  groups: [{ title: "", fields: [{ key: "numbers", as: "list", standard: [], example: "+12025550123" }] }],
};
