import { expect, test } from "vitest";
import { Problem } from "../api";
import { textsOf } from "../i18n/words";
import { complaintsOf } from "./complaints";
import { CHANNEL_TEXTS } from "./texts";

const EN = textsOf("en", CHANNEL_TEXTS.en);
const FIELDS = new Set(["token", "folders", "slug"]);

function refused(field: string, detail = "it is odd", code = "bad_input", status = 422): Problem {
  return new Problem(status, detail, code, 0, [{ field, detail }]);
}

test("a complaint stands beside its field, in our words where we have some for its code", () => {
  expect(complaintsOf(EN, refused("settings.token"), FIELDS)).toEqual({ wrong: { token: "it is odd" }, problem: "" });
  expect(complaintsOf(EN, refused("settings.folders.0"), FIELDS).wrong).toEqual({ folders: "it is odd" });
  expect(complaintsOf(EN, refused("settings.token", "", "token_wrong"), FIELDS).wrong).toEqual({ token: EN.t("code.token_wrong") });
});

test("a complaint about a field that is not there is about the whole", () => {
  expect(complaintsOf(EN, refused("settings", "no route", "not_reached"), FIELDS)).toEqual({ wrong: {}, problem: EN.t("code.not_reached") });
  expect(complaintsOf(EN, refused("settings.pace"), FIELDS)).toEqual({ wrong: {}, problem: "it is odd" });
});

test("a kind that the server does not know, a short name that is taken and a silent server have sentences of their own", () => {
  expect(complaintsOf(EN, refused("kind"), FIELDS).problem).toBe(EN.t("kind_unknown"));
  expect(complaintsOf(EN, new Problem(409, "there is a channel shop already", "conflict"), FIELDS).wrong).toEqual({ slug: EN.t("slug_taken") });
  expect(complaintsOf(EN, new Problem(0, ""), FIELDS).problem).toBe(EN.t("no_answer"));
});
