// The pre-chat form: who are you, and how do we reach you?

import type { ChatDesk } from "./chat";
import { requires, type Chat, type Field } from "./store";
import type { Speech } from "./texts";

export interface DetailsFormProps {
  desk: ChatDesk;
  chat: Chat;
  speech: Speech;
  fields: readonly Field[];
}

const INPUTS = { name: {}, email: { type: "email" }, phone: { type: "tel" } } as const;

export function DetailsForm({ desk, chat, speech, fields }: DetailsFormProps) {
  const { text } = speech;
  const held = chat.hold?.code === "details_required";
  const required = fields.filter((field) => requires(chat, field));
  const complaint = complaintOf(chat, speech);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    desk.fillIn(Object.fromEntries(new FormData(event.currentTarget as HTMLFormElement) as Iterable<[Field, string]>));
  };
  // Of an e-mail and a phone one is enough.
  const eitherReaches = (event: InputEvent) => {
    const { email, phone } = event.currentTarget as unknown as Partial<Record<Field, HTMLInputElement>>;
    if (chat.reach && email && phone) email.required = phone.required = !(email.value || phone.value);
  };
  return (
    <form onSubmit={submit} onInput={eitherReaches}>
      <p>{text("introduce")}</p>
      {complaint && (
        <p class="complaint" role="alert">
          {complaint}
        </p>
      )}
      {fields.map((field) => (
        <label key={field}>
          <span>
            {text(field)}
            {!required.includes(field) && required.length > 0 && <small> ({text("optional")})</small>}
          </span>
          <input
            name={field}
            {...INPUTS[field]}
            autocomplete={field === "phone" ? "tel" : field}
            maxLength={200}
            required={required.includes(field)}
            defaultValue={chat.returned?.item[field] ?? ""}
          />
        </label>
      ))}
      <div class="deeds">
        {required.length === 0 && !held && !chat.returned && (
          <button type="button" class="plain" onClick={() => desk.fillIn({})}>
            {text("skip")}
          </button>
        )}
        <button class="main">
          {text("begin")}
        </button>
      </div>
    </form>
  );
}

/** Return what is wrong with the form, in the visitor's language; empty: nothing. */
export function complaintOf({ returned, hold }: Chat, { lang, text }: Speech): string {
  // The server explains in English: to anybody else we say it less exactly, but so that they understand.
  if (returned !== null) return (lang === "en" && returned.text) || text("bad_details");
  return hold?.code === "details_required" ? text("details_required") : "";
}
