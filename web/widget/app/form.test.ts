import { expect, test } from "vitest";
import { complaintOf } from "./form";
import { NOTHING, type Chat } from "./store";
import { speak } from "./texts";
import ru from "./texts/ru.json";

const english = speak("en");
const russian = speak("ru", "ru", ru);
const returned: Chat = {
  ...NOTHING,
  returned: { item: { t: "details", id: "form-1", order: 1, name: "", email: "ann@", phone: "" }, text: "“ann@” is not an e-mail address" },
};

test("who reads English reads what the server found", () => {
  expect(complaintOf(returned, english)).toBe("“ann@” is not an e-mail address");
});

test("who reads another language is not answered in English", () => {
  expect(complaintOf(returned, russian)).toBe(ru.bad_details);
});

test("a form that nobody has complained about says nothing", () => {
  expect(complaintOf(NOTHING, english)).toBe("");
});

test("a message that waits for the form is why it is asked for", () => {
  const held: Chat = { ...NOTHING, hold: { code: "details_required", until: Infinity } };

  expect(complaintOf(held, russian)).toBe(ru.details_required);
});
