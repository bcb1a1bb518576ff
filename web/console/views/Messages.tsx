import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Shown } from "../../shared/frames/operator";
import { type MessageVerb, verbsOf } from "../extras";
import { avatarAddress } from "../files";
import { type Group, rows } from "../groups";
import { changeOf, type Deed, hasWords, isChange, isNote, isOutgoing, serverTime, type Thread } from "../store";
import { phoneText } from "../text";
import { may } from "../verbs";
import { Avatar, Icon, Name, Said } from "./bits";
import { useComposing } from "./composing";
import { useDesk, useNow, useWords } from "./context";
import { After, Before, Files } from "./Extras";
import { ChangeMark, FateMark, PendingMark } from "./Marks";
import { RewordForm, TakeBackDialog, Tools } from "./MessageTools";

/** Nearer to the end than this counts as being at the end. */
const NEAR_PX = 80;
/** How long a message that was looked for stands out. */
const LIT_MS = 1_600;

/** What every message of a thread may ask of it. */
interface Around {
  thread: Thread;
  verbs: (message: Shown) => MessageVerb[];
  /** Where Tab stops among the tools of messages. */
  stop: number;
  onStop: (seq: number) => void;
  onChoose: (verb: MessageVerb, message: Shown) => void;
  onGo: (seq: number) => void;
}

export function Messages({ thread }: { thread: Thread }) {
  const words = useWords();
  const { state, connection } = useDesk();
  const pane = useRef<HTMLDivElement>(null);
  const [below, setBelow] = useState(false);
  const now = useNow(60_000);
  const laid = useMemo(() => rows(thread.messages, (at) => new Date(at).toDateString()), [thread.messages]);
  const pending = state.deeds.filter((deed) => deed.session === thread.session && hasWords(deed) && !isChange(deed));
  const { can, answer, reword } = useComposing();
  const [stop, setStop] = useState(0);
  const [takingBack, setTakingBack] = useState<Shown | null>(null);
  const answers = thread.card !== null && !thread.gone && may("reply", thread.card, state.me);
  const changes = thread.card !== null && !thread.gone && may("reword", thread.card, state.me);
  const verbs = (message: Shown): MessageVerb[] =>
    verbsOf(message, state.me, can, answers).filter((verb) => verb === "answer" || changes);
  const last = thread.messages.findLast((message) => verbs(message).length > 0)?.seq ?? 0;
  const around: Around = {
    thread,
    verbs,
    stop: thread.messages.some((message) => message.seq === stop && verbs(message).length > 0) ? stop : last,
    onStop: setStop,
    onChoose(verb, message) {
      if (verb === "answer") answer(message);
      else if (verb === "reword") reword(message.seq);
      else setTakingBack(message);
    },
    onGo(seq) {
      const found = pane.current?.querySelector<HTMLElement>(`[data-seq="${seq}"]`);
      if (!found) return;
      found.scrollIntoView({ block: "center" });
      found.focus({ preventScroll: true });
      found.classList.add("lit");
      setTimeout(() => found.classList.remove("lit"), LIT_MS);
    },
  };

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

  // When what is written under it takes more room, the end stays in sight as well.
  useEffect(() => {
    const box = pane.current;
    if (box === null) return;
    const observer = new ResizeObserver(() => {
      if (seen.current.atEnd) box.scrollTop = box.scrollHeight;
    });
    observer.observe(box);
    return () => observer.disconnect();
  }, []);

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
              return <Spoken key={row.key} group={row} me={state.me?.id ?? ""} around={around} />;
          }
        })}
        {pending.map((deed) => (
          <Pending key={deed.id} deed={deed} thread={thread} />
        ))}
      </div>
      {takingBack !== null && <TakeBackDialog message={takingBack} session={thread.session} onClose={() => setTakingBack(null)} />}
      {below && (
        <button type="button" class="button to-end" onClick={toEnd}>
          <Icon name="down" />
          {words.t("thread.new_below")}
        </button>
      )}
    </div>
  );
}

function Spoken({ group, me, around }: { group: Group; me: string; around: Around }) {
  const words = useWords();
  const { t } = words;
  const { first, messages } = group;
  const { contact, card } = around.thread;
  const own = first.who === "operator" && (first.operator ?? "") === me && first.extra?.elsewhere !== true;
  const author = first.extra?.author ?? "";
  // Who wrote before we knew their name is the same person. In a group it is one of several.
  const name = author || (first.name ?? (first.who === "contact" ? (contact?.name ?? "") : ""));
  const side = first.who === "contact" ? "theirs" : first.who === "operator" ? "ours" : "system";
  const elsewhere = first.extra?.elsewhere === true;
  return (
    <article class={`group ${side}${first.kind === "note" ? " note" : ""}`}>
      <header class="group-head">
        {first.who === "contact" && (
          <Avatar
            id={author || (contact?.id ?? "")}
            name={name}
            picture={author === "" && contact?.avatar === true ? avatarAddress(contact.id) : ""}
          />
        )}
        <span class="author">
          <Author first={first} name={name} own={own} />
        </span>
        {first.kind === "note" && (
          <span class="tag">
            <Icon name="note" />
            {t("thread.note")}
          </span>
        )}
        {elsewhere && <span class="tag elsewhere">{t("message.elsewhere", { channel: words.word("channel", card?.channel ?? "") })}</span>}
      </header>
      {messages.map((message) => (
        <Message key={message.seq} message={message} around={around} />
      ))}
    </article>
  );
}

function Author({ first, name, own }: { first: Shown; name: string; own: boolean }) {
  const { t } = useWords();
  if (own) return <>{t("thread.you")}</>;
  if (first.who === "system") return <>{first.name ?? t("thread.system")}</>;
  // Who of us wrote in the provider's own program, we may not know.
  return first.who === "operator" && name === "" ? <>{t("who.operator")}</> : <Name of={name} />;
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

function Message({ message, around }: { message: Shown; around: Around }) {
  const words = useWords();
  const { t } = words;
  const { state } = useDesk();
  const { rewording } = useComposing();
  const [past, setPast] = useState(false);
  const { thread } = around;
  const { session } = thread;
  const extra = message.extra ?? {};
  const change = changeOf(state.deeds, session, message.seq);
  const verbs = around.verbs(message);
  const deleted = (extra.deleted_ms ?? 0) > 0;
  const edited = (extra.edited_ms ?? 0) > 0;
  // What I have made of it stands there at once; what was refused stands under what it still says.
  const rewords = change?.verb === "reword" && change.state !== "refused";
  const text = rewords ? change.text : message.text;
  const versions = extra.versions ?? [];
  const editing = rewording === message.seq && !deleted;
  return (
    <div class={`message${deleted ? " deleted" : ""}${editing ? " editing" : ""}`} data-seq={message.seq} tabIndex={-1}>
      {deleted && (
        <p class="deleted-line" title={words.dateTime(extra.deleted_ms ?? 0)}>
          <Icon name="trash" /> {t(message.who === "contact" ? "message.deleted_contact" : "message.deleted_operator")}
        </p>
      )}
      <Before extra={extra} thread={thread} onGo={around.onGo} />
      {extra.files && <Files files={extra.files} leftOut={extra.files_left_out ?? 0} />}
      {editing ? <RewordForm message={message} session={session} /> : text !== "" && <Said text={text} />}
      <After extra={extra} channel={thread.card?.channel ?? ""} text={message.text} />
      {past && <Versions of={message} />}
      <div class="message-foot">
        {verbs.length > 0 && change === undefined && !editing && (
          <Tools
            seq={message.seq}
            verbs={verbs}
            stop={around.stop === message.seq}
            onFocus={() => around.onStop(message.seq)}
            onChoose={(verb) => around.onChoose(verb, message)}
          />
        )}
        <span class="meta">
          {edited &&
            (versions.length > 0 ? (
              <button type="button" class="link quiet-link" aria-expanded={past} onClick={() => setPast(!past)}>
                {t("message.edited")}
              </button>
            ) : (
              <span title={words.dateTime(extra.edited_ms ?? 0)}>{t("message.edited")}</span>
            ))}
          <time dateTime={new Date(message.at).toISOString()} title={words.dateTime(message.at)}>
            {words.time(message.at)}
          </time>
          {message.who !== "contact" && message.kind === "said" && !extra.elsewhere && (
            <FateMark fate={message.fate} problem={message.problem ?? ""} changed={deleted ? "deleted" : edited ? "edited" : ""} />
          )}
        </span>
      </div>
      {change !== undefined && !(deleted && change.verb === "take_back") && <ChangeMark deed={change} />}
    </div>
  );
}

/** What it said before, the oldest first. */
function Versions({ of }: { of: Shown }) {
  const words = useWords();
  return (
    <ol class="versions" aria-label={words.t("message.versions")}>
      {(of.extra?.versions ?? []).map((version, at) => (
        <li key={at}>
          <span class="versions-until">{words.t("message.until", { time: words.dateTime(version.until_ms) })}</span>
          <Said text={version.text} />
        </li>
      ))}
    </ol>
  );
}

function Pending({ deed, thread }: { deed: Deed; thread: Thread }) {
  const { t, time } = useWords();
  const { state } = useDesk();
  const extra = { quote: deed.answers ?? null, asks_phone: deed.asksPhone ?? false };
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
        <Before extra={extra} thread={thread} />
        {deed.files !== undefined && <Files files={deed.files} />}
        {deed.text !== "" && <Said text={deed.text} />}
        <After extra={extra} channel={thread.card?.channel ?? ""} text={deed.text} />
        <span class="meta">
          <time>{time(serverTime(state, deed.at))}</time>
          <PendingMark deed={deed} />
        </span>
      </div>
    </article>
  );
}
