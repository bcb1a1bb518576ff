import type { KindForm, Raw } from "../forms";
import { hostsOf } from "../providers";

const PORT = { as: "number", beside: true, min: 1, max: 65_535, access: true, required: true } as const;

/** A mailbox. */
export const MAIL: KindForm = {
  kind: "mail",
  probed: true,
  steps: 2,
  groups: [
    {
      title: "",
      fields: [
        { key: "address", as: "text", input: "email", standard: "", example: "help@example.com", required: true, access: true },
        { key: "sender_name", as: "text", standard: "" },
      ],
    },
    {
      title: "entrance",
      note: (shown) => hostsOf(text(shown.address))?.wants ?? "",
      fields: [
        { key: "login", as: "text", standard: "", required: true, access: true },
        { key: "password", as: "secret", standard: "", access: true },
        { key: "token", as: "secret", standard: "", access: true },
      ],
    },
    {
      title: "servers",
      fields: [
        { key: "imap_host", as: "text", standard: "", example: "imap.example.com", required: true, access: true },
        { key: "imap_port", standard: 993, ...PORT },
        { key: "smtp_host", as: "text", standard: "", example: "smtp.example.com", required: true, access: true },
        { key: "smtp_port", standard: 465, ...PORT },
      ],
    },
    {
      title: "taken",
      fields: [
        { key: "history_days", as: "choice", standard: 0, options: [0, 3, 7, 30, "all"] },
        { key: "folders", as: "list", standard: ["INBOX"], example: "INBOX", access: true },
        { key: "excluded", as: "list", standard: [], example: "news@example.com" },
        { key: "signature", as: "words", standard: "" },
      ],
    },
  ],
  suggest(shown) {
    const address = text(shown.address);
    const hosts = hostsOf(address);
    const login = { login: address };
    if (hosts === null) return login;
    return { ...login, imap_host: hosts.imap, imap_port: "993", smtp_host: hosts.smtp, smtp_port: String(hosts.smtpPort) };
  },
  oneOf: ["password", "token"],
};

function text(raw: Raw | undefined): string {
  return typeof raw === "string" ? raw.trim() : "";
}
