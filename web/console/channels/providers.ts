// Where the mail of common providers is read and sent, by an address's domain.

export interface MailHosts {
  imap: string;
  smtp: string;
  /** 465: TLS from the first byte; 587: after STARTTLS. */
  smtpPort: 465 | 587;
  /** What its login wants: a password that is made there for programs, or only a token of OAuth 2; else the mailbox's own password will do. */
  wants: "" | "app_password" | "token";
}

function hosts(imap: string, smtp: string, smtpPort: 465 | 587 = 465, wants: MailHosts["wants"] = ""): MailHosts {
  return { imap, smtp, smtpPort, wants };
}

const YANDEX = hosts("imap.yandex.ru", "smtp.yandex.ru", 465, "app_password");
const MAIL_RU = hosts("imap.mail.ru", "smtp.mail.ru", 465, "app_password");
const RAMBLER = hosts("imap.rambler.ru", "smtp.rambler.ru");
const GMAIL = hosts("imap.gmail.com", "smtp.gmail.com", 465, "app_password");
const OUTLOOK = hosts("outlook.office365.com", "smtp-mail.outlook.com", 587, "token");
const ICLOUD = hosts("imap.mail.me.com", "smtp.mail.me.com", 587, "app_password");
const YAHOO = hosts("imap.mail.yahoo.com", "smtp.mail.yahoo.com", 465, "app_password");

const BY_DOMAIN: ReadonlyMap<string, MailHosts> = new Map([
  ...["yandex.ru", "ya.ru", "yandex.by", "yandex.kz", "narod.ru"].map((domain) => [domain, YANDEX] as const),
  ["yandex.com", hosts("imap.yandex.com", "smtp.yandex.com", 465, "app_password")],
  ...["mail.ru", "inbox.ru", "list.ru", "bk.ru", "internet.ru"].map((domain) => [domain, MAIL_RU] as const),
  ...["rambler.ru", "lenta.ru", "autorambler.ru", "myrambler.ru", "ro.ru"].map((domain) => [domain, RAMBLER] as const),
  ...["gmail.com", "googlemail.com"].map((domain) => [domain, GMAIL] as const),
  ...["outlook.com", "hotmail.com", "live.com", "msn.com"].map((domain) => [domain, OUTLOOK] as const),
  ...["icloud.com", "me.com", "mac.com"].map((domain) => [domain, ICLOUD] as const),
  ...["yahoo.com", "ymail.com"].map((domain) => [domain, YAHOO] as const),
  ["fastmail.com", hosts("imap.fastmail.com", "smtp.fastmail.com", 465, "app_password")],
  ["zoho.com", hosts("imap.zoho.com", "smtp.zoho.com")],
  ["gmx.net", hosts("imap.gmx.net", "mail.gmx.net")],
  ["gmx.de", hosts("imap.gmx.net", "mail.gmx.net")],
  ["web.de", hosts("imap.web.de", "smtp.web.de", 587)],
  ["wp.pl", hosts("imap.wp.pl", "smtp.wp.pl")],
  ["o2.pl", hosts("poczta.o2.pl", "poczta.o2.pl")],
  ["abv.bg", hosts("imap.abv.bg", "smtp.abv.bg")],
]);

/** The hosts for *address*; null: its provider is not known here. */
export function hostsOf(address: string): MailHosts | null {
  const domain = address.slice(address.lastIndexOf("@") + 1).trim().toLowerCase();
  return address.includes("@") ? (BY_DOMAIN.get(domain) ?? null) : null;
}
