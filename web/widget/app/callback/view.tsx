// Where the visitor asks to be called: stands in the panel in place of the conversation. Loaded when it is wanted.

import type { ComponentChildren } from "preact";
import type { ChatDesk } from "../chat";
import { newId, systemClock } from "../browser";
import { Icon } from "../icon";
import { unread } from "../store";
import type { Speech } from "../texts";
import css from "./callback.css?inline";
import { openRequest, type Refusal, type RequestDesk } from "./request";
import { complaintOf, promiseOf, speakAs, type CallbackText } from "./said";
import { momentOf, proposed, reachable, STEP_SECONDS, valueOf } from "./when";

export interface CallbackWorld {
  /** Put a style sheet on. */
  wear: (css: string) => void;
  desk: ChatDesk;
  /** The language that was wanted. */
  wanted: string;
  /** Go to the view, or back to the chat. */
  turn: () => void;
  /** Draw the panel anew. */
  draw: () => void;
}

export interface CallbackView {
  /** Return what to show to whom *speech* speaks. */
  draw: (now: number, speech: Speech) => ComponentChildren;
}

export function openCallback({ wear, desk, wanted, turn, draw }: CallbackWorld): CallbackView {
  wear(css);
  let form: HTMLElement | null = null;
  let told: Refusal | null = null;
  const ours = openRequest({
    desk,
    clock: systemClock,
    newId,
    changed() {
      draw();
      const { refusal } = ours.request();
      if (refusal === told) return;
      told = refusal;
      // The keyboard goes to what is wrong, if it is here at all: the answer may have been long in coming.
      const root = form?.getRootNode() as ShadowRoot | undefined;
      if (form?.contains(root?.activeElement ?? null)) form.querySelector<HTMLElement>("[aria-invalid='true']")?.focus();
    },
  });
  const hold = (shown: HTMLElement | null) => {
    form = shown;
  };
  return {
    draw: (now, speech) => <View words={speakAs(speech.lang, wanted)} {...{ desk, ours, speech, now, turn, hold }} />,
  };
}

interface ViewProps {
  desk: ChatDesk;
  ours: RequestDesk;
  speech: Speech;
  words: Speech<CallbackText>;
  now: number;
  turn: () => void;
  /** Told the form's element. */
  hold: (form: HTMLElement | null) => void;
}

function View(props: ViewProps) {
  const { desk, ours, speech, words, now, turn } = props;
  const request = ours.request();
  const count = unread(desk.chat());
  const asks = request.promised === null;
  const back = (
    <button type="button" class={asks ? "plain" : "main"} data-begin="" onClick={turn}>
      {words.text("back")}
      {count > 0 && <small> {speech.text("unread", { count })}</small>}
    </button>
  );
  return (
    <div class={`callback${asks ? "" : " done"}`} lang={words.lang}>
      {asks ? <h2>{words.text("title")}</h2> : <Icon lines="M5 13l5 5 9-12" />}
      {/* There before it has anything to say: a status that comes with its words is not read aloud. */}
      <p role="status">{promiseOf(request, words, now)}</p>
      {asks ? (
        <Form {...props} back={back} />
      ) : (
        <div class="deeds">
          {back}
          <button class="plain" onClick={ours.again}>
            {words.text("another")}
          </button>
        </div>
      )}
    </div>
  );
}

function Form({ desk, ours, speech, words, now, hold, back }: ViewProps & { back: ComponentChildren }) {
  const { text, day, time } = words;
  const { known, opensAt } = desk.chat();
  const { wish, asked, refusal } = ours.request();
  const sending = asked !== null;
  const complaint = complaintOf(refusal, words, now);
  const [first, last] = reachable(now);
  const wrong = (code: string) => refusal?.code === code;
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    ours.ask();
  };
  const choose = (later: boolean) => {
    // What was chosen before and has passed meanwhile is no proposal.
    const stale = !(momentOf(wish.at) >= first);
    ours.type({ later, ...(later && stale && { at: valueOf(proposed(now, opensAt)) }) });
  };
  return (
    <form onSubmit={submit} ref={hold}>
      <label>
        <span>{speech.text("phone")}</span>
        <input
          type="tel"
          autocomplete="tel"
          required
          maxLength={200}
          readOnly={sending}
          aria-invalid={wrong("bad_phone") || wrong("called_already")}
          value={wish.phone}
          onInput={({ currentTarget }) => ours.type({ phone: currentTarget.value })}
        />
      </label>
      {!known.includes("name") && (
        <label>
          <span>
            {speech.text("name")} <small>({speech.text("optional")})</small>
          </span>
          <input
            type="text"
            autocomplete="name"
            maxLength={200}
            readOnly={sending}
            value={wish.name}
            onInput={({ currentTarget }) => ours.type({ name: currentTarget.value })}
          />
        </label>
      )}
      <fieldset>
        <legend>{text("when")}</legend>
        <label class="choice">
          <input type="radio" name="when" checked={!wish.later} onChange={() => choose(false)} />
          {opensAt > now ? text("opening", { day: day(opensAt, now), time: time(opensAt) }) : text("soon")}
        </label>
        <label class="choice">
          <input type="radio" name="when" checked={wish.later} onChange={() => choose(true)} />
          {text("later")}
        </label>
        {wish.later && (
          <input
            type="datetime-local"
            required
            aria-label={text("at")}
            aria-invalid={wrong("bad_time")}
            readOnly={sending}
            min={valueOf(first)}
            max={valueOf(last)}
            step={STEP_SECONDS}
            value={wish.at}
            onInput={({ currentTarget }) => ours.type({ at: currentTarget.value })}
          />
        )}
      </fieldset>
      {complaint && (
        <p class="complaint" role="alert">
          {complaint}
        </p>
      )}
      <div class="deeds">
        {back}
        {/* Not disabled: the keyboard would lose its place, and the answer may be long in coming. */}
        <button class="main" aria-disabled={sending}>
          {sending ? `${speech.text("sending")}…` : text("ask")}
        </button>
      </div>
    </form>
  );
}
