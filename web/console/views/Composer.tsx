import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Card } from "../../shared/frames/operator";
import { canGo, leftOf, type Stance } from "../composer";
import type { Details } from "../connection";
import { chooseLanguage, wordsIn } from "../i18n/words";
import { go, hashOf } from "../routes";
import { isCall, isHeldBy, isJoinedBy, isUnreached, nameOf, type Thread } from "../store";
import { cleanName } from "../text";
import { areComing } from "../uploads";
import { may } from "../verbs";
import { ActionMenu } from "./ActionMenu";
import { AttachButton, AttachedFiles } from "./Attaching";
import { Icon } from "./bits";
import { useComposing } from "./composing";
import { useDesk, useWords } from "./context";
import { QuotedText } from "./Extras";

/** The counter appears when so few are left. */
const TELL_LEFT = 500;
const NARROW = "(max-width: 760px)";

export function Composer({ card, thread }: { card: Card; thread: Thread }) {
  const { stance } = useComposing();
  return stance === null ? null : <Writing card={card} thread={thread} stance={stance} />;
}

function Writing({ card, thread, stance }: { card: Card; thread: Thread; stance: Stance }) {
  const { t } = useWords();
  const { state, connection } = useDesk();
  const { draft, write, attached, uploads, asked } = useComposing();
  const area = useRef<HTMLTextAreaElement>(null);
  const closed = card.status === "closed";
  const [starting, setStarting] = useState(false);
  const note = stance.kind === "note";
  const starts = stance.kind === "start";
  const says = stance.kind === "reply";
  const quotes = stance.quotes && draft.answers ? draft.answers : null;
  const asksPhone = stance.asksPhone && draft.asksPhone === true;
  const left = leftOf(draft.text, stance.textMax);
  const withFiles = says && attached.length > 0;
  const ready = canGo(stance, draft.text, attached);

  // Who wrote first goes on in the session that it made.
  useEffect(() => {
    if (starting && thread.next !== "") go({ screen: "session", session: thread.next });
  }, [thread.next]);
  useEffect(() => {
    if (!closed) setStarting(false);
  }, [closed]);

  useEffect(() => {
    // On a phone the keyboard would cover the thread before anybody has read it.
    if (stance.inTurn && !matchMedia(NARROW).matches) area.current?.focus();
  }, [stance.inTurn]);
  useEffect(() => {
    if (starting || asked > 0) area.current?.focus();
  }, [starting, asked]);

  useLayoutEffect(() => {
    const box = area.current;
    if (box === null) return;
    box.rows = 1;
    const { lineHeight, paddingTop, paddingBottom } = getComputedStyle(box);
    const lines = (box.scrollHeight - parseFloat(paddingTop) - parseFloat(paddingBottom)) / parseFloat(lineHeight);
    box.rows = Math.min(8, Math.max(2, Math.round(lines)));
  }, [draft.text, starting]);

  function send(): void {
    if (!ready) return;
    const said: Details = { text: draft.text.trim() };
    if (withFiles) said.files = uploads.take(card.session);
    if (quotes !== null) said.answers = quotes;
    if (asksPhone) said.asksPhone = true;
    connection.deed(card.session, stance.kind, said);
    // After a note the next words are an answer again: a whisper must be meant each time, and so must not be said aloud by habit.
    write({ text: "", note: false, ...(says ? { answers: null, asksPhone: false } : {}) });
    area.current?.focus();
  }

  function onEscape(event: KeyboardEvent): void {
    if (event.key !== "Escape" || (quotes === null && !asksPhone) || event.isComposing) return;
    // It takes back what was chosen, and does not leave the dialogue as well.
    event.stopPropagation();
    write(quotes !== null ? { answers: null } : { asksPhone: false });
    area.current?.focus();
  }

  function onKeyDown(event: KeyboardEvent): void {
    // Enter that ends a composition (Chinese, Japanese…) belongs to the input method.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  }

  function askPhone(): void {
    // In the customer's language, where it is one of ours: it is they who read it.
    const language = chooseLanguage(thread.contact?.language, document.documentElement.lang);
    write({ asksPhone: true, ...(draft.text.trim() === "" ? { text: wordsIn(language).t("composer.ask_phone_text") } : {}) });
    area.current?.focus();
  }

  if (starts && !starting) return <Closed card={card} next={thread.next} onStart={() => setStarting(true)} />;
  if (thread.gone) return <p class="composer-closed">{t("composer.gone")}</p>;
  const unreachable = says ? (thread.contact?.unreachable ?? "") : "";
  return (
    <form
      class={`composer${note ? " note" : ""}`}
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
      onKeyDown={onEscape}
    >
      {starts ? <p class="hint">{t("composer.starts")}</p> : <Hint card={card} />}
      {unreachable !== "" && <Unreachable why={unreachable} />}
      {stance.chosen && (
        <fieldset class="modes">
          <legend class="unseen">{t("composer.mode")}</legend>
          {[false, true].map((asNote) => (
            <label key={String(asNote)} class={asNote === note ? "mode on" : "mode"}>
              <input type="radio" name="mode" class="unseen" checked={asNote === note} onChange={() => write({ note: asNote })} />
              {t(asNote ? "composer.note" : "composer.reply")}
            </label>
          ))}
        </fieldset>
      )}
      {quotes !== null && (
        <div class="composer-beside">
          <Icon name="reply" />
          <QuotedText quote={quotes} thread={thread} />
          <Without label={t("composer.answers_not")} onClick={() => write({ answers: null })} />
        </div>
      )}
      <AttachedFiles session={card.session} />
      {asksPhone && (
        <div class="composer-beside">
          <Icon name="phone" />
          <span>{t("composer.asks_phone")}</span>
          <Without label={t("composer.asks_phone_not")} onClick={() => write({ asksPhone: false })} />
        </div>
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
          write({ text: event.currentTarget.value, note });
          if (says) connection.typing(card.session);
        }}
        onKeyDown={onKeyDown}
      />
      <div class="composer-foot">
        {says && (
          <div class="composer-tools">
            <AttachButton />
            {stance.asksPhone && (
              <ActionMenu
                id="composer-menu"
                label={t("composer.menu")}
                up
                items={[{ key: "phone", icon: "phone", text: t("composer.ask_phone"), onChoose: askPhone }]}
              />
            )}
          </div>
        )}
        <span id="composer-hint" class="hint keys">
          {t("composer.keys")}
        </span>
        {withFiles && areComing(attached) && (
          <span class="hint" role="status">
            {t("attach.wait")}
          </span>
        )}
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

function Without({ label, onClick }: { label: string; onClick: () => void }) {
  return (
    <button type="button" class="button quiet icon-only" aria-label={label} title={label} onClick={onClick}>
      <Icon name="cross" />
    </button>
  );
}

/** Why what is written does not reach the customer just now. */
export function Unreachable({ why }: { why: string }) {
  const words = useWords();
  return (
    <p class="unreachable">
      <Icon name="warning" />
      <span>{words.word("unreachable", why, words.t("unreachable.denied"))}</span>
    </p>
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
