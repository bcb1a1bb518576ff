import type { KindForm } from "../forms";

const ASKED = ["name", "email", "phone"] as const;

/** The chat on a site. */
export const WIDGET: KindForm = {
  kind: "widget",
  probed: false,
  steps: 0,
  groups: [
    { title: "", fields: [{ key: "allowed_origins", as: "list", standard: [], example: "https://shop.example.com" }] },
    {
      title: "asked",
      fields: [
        { key: "ask", as: "set", standard: ["name", "email"], options: ASKED },
        { key: "required", as: "set", standard: [], options: ASKED },
      ],
    },
    {
      title: "calls",
      fields: [
        { key: "callback", as: "bool", standard: false },
        { key: "callback_abroad", as: "bool", standard: false, when: (shown) => shown.callback === true },
      ],
    },
  ],
};
