import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Card } from "../../shared/frames/operator";
import { type Draft, keepDraft, keptDraft } from "../kept";
import { go, hashOf } from "../routes";
import { isCall, isHeldBy, isJoinedBy, isUnreached, nameOf, type Thread } from "../store";
import { cleanName } from "../text";
import { may } from "../verbs";
import { useDesk, useWords } from "./context";

export const TEXT_MAX = 8_000;
/** The counter appears when so few are left. */
const TELL_LEFT = 500;
const NARROW = "(max-width: 760px)";

/** Mounted anew for every session (by its key), so a draft never wanders into another dialogue. */
export function Composer({ card, thread }: { card: Card; thread: Thread }) {
  const { t } = useWords();
  const { state, connection, shelf, operator } = useDesk();
  const [draft, setDraft] = useState<Draft>(() => keptDraft(shelf, operator, card.session));
  const area = useRef<HTMLTextAreaElement>(null);
  const closed = card.status === "closed";
  const [starting, setStarting] = useState(false);
  const answers = may("reply", card, state.me);
  // A call is noted while they talk, and after it: whoever talks does not write their last line before the other hangs up.
  const mine = isCall(card) && state.me !== null && card.operator === state.me.id;
  const note = (mine && closed) || (!closed && (draft.note || !answers));
  const starts = closed && !note;
  // As the server counts: characters, not UTF-16 units.
  const left = TEXT_MAX - Array.from(draft.text.trim()).length;
  const ready = draft.text.trim() !== "" && left >= 0;

  // Who wrote first goes on in the session that it made.
  useEffect(() => {
    if (starting && thread.next !== "") go({ screen: "session", session: thread.next });
  }, [thread.next]);
  useEffect(() => {
    if (!closed) setStarting(false);
  }, [closed]);

  const writes = answers || (mine && !closed);
  useEffect(() => {
    // On a phone the keyboard would cover the thread before anybody has read it.
    if (writes && !matchMedia(NARROW).matches) area.current?.focus();
  }, [writes]);
  useEffect(() => {
    if (starting) area.current?.focus();
  }, [starting]);

  useLayoutEffect(() => {
    const box = area.current;
    if (box === null) return;
    box.rows = 1;
    const { lineHeight, paddingTop, paddingBottom } = getComputedStyle(box);
    const lines = (box.scrollHeight - parseFloat(paddingTop) - parseFloat(paddingBottom)) / parseFloat(lineHeight);
    box.rows = Math.min(8, Math.max(2, Math.round(lines)));
  }, [draft.text, starting]);

  function change(next: Draft): void {
    setDraft(next);
    keepDraft(shelf, operator, card.session, next);
  }

  function send(): void {
    if (!ready) return;
    connection.deed(card.session, starts ? "start" : note ? "note" : "reply", { text: draft.text.trim() });
    // After a note the next words are an answer again: a whisper must be meant each time, and so must not be said aloud by habit.
    change({ text: "", note: false });
    area.current?.focus();
  }

  function onKeyDown(event: KeyboardEvent): void {
    // Enter that ends a composition (Chinese, Japanese…) belongs to the input method.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  }

  if (starts && !starting) return <Closed card={card} next={thread.next} onStart={() => setStarting(true)} />;
  if (thread.gone) return <p class="composer-closed">{t("composer.gone")}</p>;
  return (
    <form
      class={`composer${note ? " note" : ""}`}
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      {starts ? <p class="hint">{t("composer.starts")}</p> : <Hint card={card} />}
      {answers && (
        <fieldset class="modes">
          <legend class="unseen">{t("composer.mode")}</legend>
          {[false, true].map((asNote) => (
            <label key={String(asNote)} class={asNote === note ? "mode on" : "mode"}>
              <input type="radio" name="mode" class="unseen" checked={asNote === note} onChange={() => change({ ...draft, note: asNote })} />
              {t(asNote ? "composer.note" : "composer.reply")}
            </label>
          ))}
        </fieldset>
      )}
      <textarea
        ref={area}
        dir="auto"
        rows={2}
        value={draft.text}
        aria-label={t(note ? "composer.note_label" : "composer.label")}
        aria-describedby="composer-hint"
        placeholder={note ? t("composer.note_hint") : t("composer.reply_hint", { name: cleanName(card.contact_name) || t("thread.nobody") })}
        onInput={(event) => {
          // What was begun as a note stays one when the dialogue becomes ours in the middle of it.
          change({ text: event.currentTarget.value, note });
          if (!note && !starts) connection.typing(card.session);
        }}
        onKeyDown={onKeyDown}
      />
      <div class="composer-foot">
        <span id="composer-hint" class="hint keys">
          {t("composer.keys")}
        </span>
        {left <= TELL_LEFT && (
          <span class={left < 0 ? "counter over" : "counter"} role="status">
            {left < 0 ? t("composer.over", { count: -left }) : t("composer.left", { count: left })}
          </span>
        )}
        {starts && (
          <button type="button" class="button" onClick={() => setStarting(false)}>
            {t("common.cancel")}
          </button>
        )}
        <button type="submit" class="button primary" disabled={!ready || (starts && state.link !== "live")}>
          {t(note ? "composer.save_note" : "composer.send")}
        </button>
      </div>
    </form>
  );
}

function Hint({ card }: { card: Card }) {
  const { t } = useWords();
  const { state } = useDesk();
  const { me } = state;
  const call = isCall(card);
  if (call && card.status === "closed") return <p class="hint">{t("composer.call_over")}</p>;
  if (isUnreached(card)) return <p class="hint">{t("composer.call_out")}</p>;
  if (call && isHeldBy(card, me)) return <p class="hint">{t("composer.call")}</p>;
  if (isHeldBy(card, me)) return card.status === "snoozed" ? <p class="hint">{t("composer.wakes")}</p> : null;
  const name = cleanName(card.operator_name ?? "") || nameOf(state, card.operator ?? "") || t("thread.nobody");
  if (isJoinedBy(card, me)) return <p class="hint">{card.operator ? t("composer.joined", { name }) : t("composer.joined_alone")}</p>;
  if (call && !card.operator) return <p class="hint">{t("composer.call_waits")}</p>;
  const text = may("reply", card, me) ? t("composer.takes") : card.operator ? t("composer.held", { name }) : t("composer.offered");
  return <p class="hint">{text}</p>;
}

/** A closed dialogue is only read, unless one writes first again. */
function Closed({ card, next, onStart }: { card: Card; next: string; onStart: () => void }) {
  const { t } = useWords();
  const { state } = useDesk();
  if (next !== "") {
    return (
      <p class="composer-closed">
        {t("composer.goes_on")}{" "}
        <a href={hashOf({ screen: "session", session: next })}>{t("composer.go_on")}</a>
      </p>
    );
  }
  return (
    <p class="composer-closed">
      {t(isCall(card) ? "composer.call_closed" : "composer.closed")}{" "}
      {may("start", card, state.me) && (
        <button type="button" class="link" onClick={onStart}>
          {t("composer.start")}
        </button>
      )}
    </p>
  );
}
