import { describe, expect, test } from "vitest";
import { changesAccess, faultsOf, fieldsShown, groupsOf, type KindForm, type Present, settingsOf, type Shown, shownIn } from "./forms";
import { formOf, KINDS } from "./kinds/all";
import { MAIL } from "./kinds/mail";
import { TELEGRAM } from "./kinds/telegram";
import { WIDGET } from "./kinds/widget";
import { CHANNEL_TEXTS } from "./texts";

function read(form: KindForm, present: Present, written: Shown) {
  const groups = groupsOf(form, present);
  const shown = shownIn(form, groups, present, written);
  const fields = fieldsShown(groups, shown);
  const settings = settingsOf(fields, present, shown);
  return { groups, shown, fields, settings, faults: faultsOf(form, fields, present, shown), asks: changesAccess(fields, settings) };
}

const BOT: Present = {
  settings: { mode: "polling", groups: false, start: "opens", names: true, phone_label: "📱", server: "https://api.telegram.org" },
  secrets: { token: true },
};

describe("of a new channel", () => {
  test("everything that is seen and has a value is sent", () => {
    expect(read(TELEGRAM, null, { token: " 1:AAE " }).settings).toEqual({
      token: "1:AAE",
      mode: "polling",
      start: "opens",
      groups: false,
      names: true,
      phone_label: "📱 +7 …",
      server: "https://api.telegram.org",
    });
  });

  test("a field that is not seen is not sent", () => {
    expect("callback_abroad" in read(WIDGET, null, { callback_abroad: true }).settings).toBe(false);
    expect(read(WIDGET, null, { callback: true, callback_abroad: true }).settings.callback_abroad).toBe(true);
  });

  test("what must be there is missed, and a port must be one", () => {
    expect(read(TELEGRAM, null, {}).faults).toEqual({ token: "needed" });
    expect(read(MAIL, null, { address: "help@gmail.com", password: "p", imap_port: "70000", smtp_port: "" }).faults).toEqual({
      imap_port: "not_a_number",
      smtp_port: "not_a_number",
    });
  });

  test("the hosts follow from the address until somebody writes them", () => {
    const { shown } = read(MAIL, null, { address: "help@hotmail.com", imap_host: "mine.example" });

    expect([shown.login, shown.imap_host, shown.smtp_host, shown.smtp_port]).toEqual([
      "help@hotmail.com",
      "mine.example",
      "smtp-mail.outlook.com",
      "587",
    ]);
  });

  test("a list is read a line or a comma apiece, and a set in the order that is offered", () => {
    expect(read(MAIL, null, { folders: " INBOX \n\nSupport, Shop" }).settings.folders).toEqual(["INBOX", "Support", "Shop"]);
    expect(read(WIDGET, null, { ask: ["phone", "name"] }).settings.ask).toEqual(["name", "phone"]);
  });

  test("a choice of numbers stays one", () => {
    expect(read(MAIL, null, { history_days: "30" }).settings.history_days).toBe(30);
    expect(read(MAIL, null, { history_days: "all" }).settings.history_days).toBe("all");
  });
});

describe("of a channel that is there", () => {
  test("only what differs is sent, and nothing when nothing does", () => {
    expect(read(TELEGRAM, BOT, { mode: "webhook", start: "opens" }).settings).toEqual({ mode: "webhook" });
    expect(read(TELEGRAM, BOT, {}).settings).toEqual({});
  });

  test("an empty secret keeps the one that there is, another replaces it, and it can be taken away", () => {
    expect(read(TELEGRAM, BOT, { token: "" })).toMatchObject({ settings: {}, faults: {} });
    expect(read(TELEGRAM, BOT, { token: "2:B" }).settings).toEqual({ token: "2:B" });
    expect(read(MAIL, { settings: {}, secrets: { password: true, token: false } }, { password: null, token: null }).settings).toEqual({ password: "" });
  });

  test("of a password and a token one must be there, whichever", () => {
    const present: Present = { settings: {}, secrets: { password: true, token: false } };

    expect(read(MAIL, present, {}).faults).toEqual({});
    expect(read(MAIL, present, { password: null }).faults).toEqual({ password: "needed" });
    expect(read(MAIL, present, { password: null, token: "t" }).faults).toEqual({});
  });

  test("a secret that must be there cannot be taken away", () => {
    expect(read(TELEGRAM, BOT, { token: null }).faults).toEqual({ token: "needed" });
  });

  test("what the provider is asked with is to be tested again, the rest is not", () => {
    expect(read(TELEGRAM, BOT, { token: "2:B" }).asks).toBe(true);
    expect(read(TELEGRAM, BOT, { start: "waits" }).asks).toBe(false);
  });

  test("nothing is suggested: what is there was meant so", () => {
    const present: Present = { settings: { address: "help@gmail.com", imap_host: "mine.example" }, secrets: {} };

    expect(read(MAIL, present, {}).shown).toEqual({ address: "help@gmail.com", imap_host: "mine.example" });
  });

  test("settings that the server does not have are not shown, and those that we have no words for are", () => {
    const present: Present = { settings: { mode: "polling", pace: 3, loud: true, tags: ["a"], deep: { er: 1 } }, secrets: { seal: false } };
    const { groups } = read(TELEGRAM, present, {});

    expect(groups.map((group) => [group.title, group.fields.map((field) => `${field.key} ${field.as}`)])).toEqual([
      ["messages", ["mode choice"]],
      ["others", ["seal secret", "pace number", "loud bool", "tags list"]],
    ]);
  });

  test("a kind of which only the server knows can be changed all the same", () => {
    expect(read(formOf("pigeon"), { settings: { loft: "north" }, secrets: {} }, { loft: "south" }).settings).toEqual({ loft: "south" });
  });
});

test("every reason that a provider gives has its sentence", () => {
  const codes =
    "token_revoked token_wrong other_receiver webhook_elsewhere no_rights captcha login_refused certificate no_folder not_reached " +
    "sealed_otherwise group_messages_off privacy_mode longpoll_off no_public_url no_messages_right no_manage_right no_photos_right no_docs_right";

  expect(codes.split(" ").filter((code) => !(`code.${code}` in CHANNEL_TEXTS.en))).toEqual([]);
});

describe.each(KINDS)("the words of $kind", ({ kind, groups, steps }) => {
  const words: Record<string, unknown> = CHANNEL_TEXTS.en;

  test("are there for every title, field, option and step", () => {
    const wanted = [
      `about.${kind}`,
      ...groups.flatMap(({ title, fields }) => [
        ...(title === "" ? [] : [`${kind}.${title}`]),
        ...fields.flatMap((field) => [
          `${kind}.${field.key}`,
          ...(field.as === "choice" || field.as === "set" ? field.options.map((option) => `${kind}.${field.key}.${option}`) : []),
        ]),
      ]),
      ...Array.from({ length: steps }, (_, at) => `${kind}.step.${at + 1}`),
    ];

    expect(wanted.filter((key) => !(key in words))).toEqual([]);
  });
});
