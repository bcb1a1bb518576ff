import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Contact, Shown } from "../../shared/frames/operator";
import { type Group, rows } from "../groups";
import { type Deed, hasWords, isNote, isOutgoing, serverTime, type Thread } from "../store";
import { phoneText } from "../text";
import { Avatar, Icon, Name, Said } from "./bits";
import { useDesk, useNow, useWords } from "./context";
import { FateMark, PendingMark } from "./Marks";

/** Nearer to the end than this counts as being at the end. */
const NEAR_PX = 80;

export function Messages({ thread }: { thread: Thread }) {
  const words = useWords();
  const { state, connection } = useDesk();
  const pane = useRef<HTMLDivElement>(null);
  const [below, setBelow] = useState(false);
  const now = useNow(60_000);
  const laid = useMemo(() => rows(thread.messages, (at) => new Date(at).toDateString()), [thread.messages]);
  const pending = state.deeds.filter((deed) => deed.session === thread.session && hasWords(deed));

  // Who reads the end stays at the end; who reads earlier words keeps them in sight when still earlier ones come above.
  const seen = useRef({ session: "", firstSeq: 0, lastSeq: 0, pending: 0, height: 0, atEnd: true });
  useLayoutEffect(() => {
    const box = pane.current;
    if (box === null) return;
    const before = seen.current;
    const firstSeq = thread.messages[0]?.seq ?? 0;
    const lastSeq = thread.messages.at(-1)?.seq ?? 0;
    const another = before.session !== thread.session;
    const wrote = pending.length > before.pending;
    if (another || before.atEnd || wrote) {
      box.scrollTop = box.scrollHeight;
      setBelow(false);
    } else if (firstSeq < before.firstSeq) {
      box.scrollTop += box.scrollHeight - before.height;
    } else if (lastSeq > before.lastSeq) {
      setBelow(true);
    }
    seen.current = {
      session: thread.session,
      firstSeq,
      lastSeq,
      pending: pending.length,
      height: box.scrollHeight,
      atEnd: another || before.atEnd || wrote,
    };
  }, [thread.session, thread.messages, pending.length]);

  function onScroll(): void {
    const box = pane.current;
    if (box === null) return;
    seen.current.atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX;
    if (seen.current.atEnd) setBelow(false);
  }

  function toEnd(): void {
    if (pane.current !== null) pane.current.scrollTop = pane.current.scrollHeight;
  }

  return (
    <div class="messages-frame">
      {/* It can be scrolled, so the keyboard must be able to get there. */}
      <div class="messages" ref={pane} onScroll={onScroll} role="log" aria-label={words.t("thread.messages")} tabIndex={0}>
        {thread.more && (
          <button type="button" class="button quiet older" disabled={thread.loadingOlder} onClick={() => connection.older()}>
            {words.t(thread.loadingOlder ? "thread.older_loading" : "thread.older")}
          </button>
        )}
        {thread.messages.length === 0 && pending.length === 0 && <p class="quiet-line">{words.t("thread.empty")}</p>}
        {laid.map((row) => {
          switch (row.kind) {
            case "day":
              return (
                <h3 key={row.key} class="day">
                  {words.day(row.at, now)}
                </h3>
              );
            case "session":
              return (
                <p key={row.key} class="border">
                  <span>{words.t("thread.border")}</span>
                </p>
              );
            case "call":
              return <Rang key={row.key} message={row.message} outgoing={thread.card !== null && isOutgoing(thread.card)} />;
            case "group":
              return <Spoken key={row.key} group={row} me={state.me?.id ?? ""} contact={thread.contact} />;
          }
        })}
        {pending.map((deed) => (
          <Pending key={deed.id} deed={deed} />
        ))}
      </div>
      {below && (
        <button type="button" class="button to-end" onClick={toEnd}>
          <Icon name="down" />
          {words.t("thread.new_below")}
        </button>
      )}
    </div>
  );
}

function Spoken({ group, me, contact }: { group: Group; me: string; contact: Contact | null }) {
  const { t } = useWords();
  const { first, messages } = group;
  const own = first.who === "operator" && (first.operator ?? "") === me;
  // Who wrote before we knew their name is the same person.
  const name = first.name ?? (first.who === "contact" ? (contact?.name ?? "") : "");
  const side = first.who === "contact" ? "theirs" : first.who === "operator" ? "ours" : "system";
  return (
    <article class={`group ${side}${first.kind === "note" ? " note" : ""}`}>
      <header class="group-head">
        {first.who === "contact" && <Avatar id={contact?.id ?? ""} name={name} />}
        <span class="author">
          {own ? t("thread.you") : first.who === "system" ? (first.name ?? t("thread.system")) : <Name of={name} />}
        </span>
        {first.kind === "note" && (
          <span class="tag">
            <Icon name="note" />
            {t("thread.note")}
          </span>
        )}
      </header>
      {messages.map((message) => (
        <Message key={message.seq} message={message} />
      ))}
    </article>
  );
}

/** Nobody wrote it: their phone did, or we are to call them. */
function Rang({ message, outgoing }: { message: Shown; outgoing: boolean }) {
  const words = useWords();
  const number = phoneText(message.text);
  return (
    <p class="call-line" data-seq={message.seq}>
      <Icon name={outgoing ? "call_out" : "phone"} />{" "}
      {number === "" ? words.t("thread.call_withheld") : words.t(outgoing ? "thread.call_out" : "thread.call", { number })}{" "}
      <time dateTime={new Date(message.at).toISOString()} title={words.dateTime(message.at)}>
        {words.time(message.at)}
      </time>
    </p>
  );
}

function Message({ message }: { message: Shown }) {
  const words = useWords();
  return (
    <div class="message" data-seq={message.seq}>
      <Said text={message.text} />
      <span class="meta">
        <time dateTime={new Date(message.at).toISOString()} title={words.dateTime(message.at)}>
          {words.time(message.at)}
        </time>
        {message.who !== "contact" && message.kind === "said" && <FateMark fate={message.fate} problem={message.problem ?? ""} />}
      </span>
    </div>
  );
}

function Pending({ deed }: { deed: Deed }) {
  const { t, time } = useWords();
  const { state } = useDesk();
  return (
    <article class={`group ours pending${isNote(deed) ? " note" : ""}`}>
      <header class="group-head">
        <span class="author">{t("thread.you")}</span>
        {isNote(deed) && (
          <span class="tag">
            <Icon name="note" />
            {t("thread.note")}
          </span>
        )}
      </header>
      <div class="message">
        <Said text={deed.text} />
        <span class="meta">
          <time>{time(serverTime(state, deed.at))}</time>
          <PendingMark deed={deed} />
        </span>
      </div>
    </article>
  );
}
