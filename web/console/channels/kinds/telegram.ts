import type { KindForm } from "../forms";

/** A bot of Telegram. */
export const TELEGRAM: KindForm = {
  kind: "telegram",
  probed: true,
  steps: 3,
  link: "https://t.me/BotFather",
  groups: [
    { title: "", fields: [{ key: "token", as: "secret", standard: "", required: true, access: true }] },
    {
      title: "messages",
      fields: [
        { key: "mode", as: "choice", standard: "polling", options: ["polling", "webhook"], access: true },
        { key: "start", as: "choice", standard: "opens", options: ["opens", "waits"] },
        { key: "groups", as: "bool", standard: false, access: true },
        { key: "names", as: "bool", standard: true, more: true },
        { key: "phone_label", as: "text", standard: "📱 +7 …", more: true },
        { key: "server", as: "text", input: "url", standard: "https://api.telegram.org", access: true, more: true },
      ],
    },
  ],
  hooked: (shown) => shown.mode === "webhook",
};
