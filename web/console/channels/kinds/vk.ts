import type { KindForm, Shown } from "../forms";

/** A community of VK. */
export const VK: KindForm = {
  kind: "vk",
  probed: true,
  steps: 3,
  groups: [
    { title: "", fields: [{ key: "token", as: "secret", standard: "", required: true, access: true }] },
    {
      title: "messages",
      fields: [
        { key: "mode", as: "choice", standard: "longpoll", options: ["longpoll", "callback"], access: true },
        { key: "start", as: "choice", standard: "opens", options: ["opens", "waits"] },
        { key: "groups", as: "bool", standard: false },
        { key: "names", as: "bool", standard: true, more: true },
        { key: "group_id", as: "number", standard: 0, min: 0, max: Number.MAX_SAFE_INTEGER, access: true, more: true },
        { key: "confirmation", as: "text", standard: "", access: true, more: true, when: isBrought },
        { key: "secret", as: "secret", standard: "", access: true, more: true, when: isBrought },
        { key: "server", as: "text", input: "url", standard: "https://api.vk.ru", access: true, more: true },
      ],
    },
  ],
  hooked: isBrought,
};

function isBrought(shown: Shown): boolean {
  return shown.mode === "callback";
}
