import { useEffect, useRef, useState } from "preact/hooks";
import type { Box, Card } from "../../shared/frames/operator";
import { hashOf } from "../routes";
import {
  asksMe,
  cardsIn,
  consulted,
  heldSince,
  isCall,
  isInvited,
  isJoinedBy,
  isMissed,
  isOffered,
  isOutgoing,
  isPassedBy,
  isWaiting,
  nameOf,
  promisedAt,
  ringsMe,
  type Section,
  sections,
  type Standing,
  standingOf,
  standsSince,
  waiting,
  waitingSince,
} from "../store";
import { cleanName, phoneText } from "../text";
import { may, supervises } from "../verbs";
import { Avatar, Busy, Empty, Icon, KIND_ICONS, Lasts, Name, Since, Until } from "./bits";
import { BulkBar, mayPick } from "./Bulk";
import { CallButton, Planned, SettleButton, triesOf } from "./calling";
import { useDesk, useNow, useWords } from "./context";
import { ListenButtons } from "./TalkBar";

const BOXES = ["mine", "waiting", "all"] as const;
/** Parts of the list of all; calls under way are for supervisors, who listen to them. */
const PARTS = ["all", "calls", "missed"] as const;

export function SessionList({ box, open, onCall }: { box: Box; open: string | null; onCall: () => void }) {
  const { t } = useWords();
  const { state, connection } = useDesk();
  const cards = cardsIn(state, box);
  const paging = state.paging[box];
  // The first hundred of the waiting come with the snapshot; where the rest begins, only the list's own page says.
  const more = box === "mine" ? false : paging.loaded ? paging.next !== null : box === "waiting" && state.counts.waiting > cards.length;
  const known = state.link !== "connecting" || state.me !== null;
  const [picked, setPicked] = useState<ReadonlySet<string> | null>(null);
  useEffect(() => setPicked(null), [box]);
  const inParts = PARTS.some((one) => one === box);
  const loading = !known || (cards.length === 0 && paging.loading !== null);

  return (
    <section class="list" aria-label={t("list.label")}>
      <nav class="tabs" aria-label={t("list.label")}>
        {BOXES.map((one) => (
          <a key={one} href={hashOf({ screen: "list", box: one })} class="tab" aria-current={one === box || (one === "all" && inParts) ? "page" : undefined}>
            {t(`list.${one}`)}
            {(one === "mine" || one === "waiting") && state.counts[one] > 0 && <span class="count">{state.counts[one]}</span>}
          </a>
        ))}
        {state.callsFrom.length > 0 && (
          <button
            type="button"
            class="button quiet small"
            aria-label={t("callout.title")}
            aria-keyshortcuts="Alt+N"
            title={`${t("callout.title")} (Alt+N)`}
            onClick={onCall}
          >
            <Icon name="call_out" />
          </button>
        )}
        {supervises(state.me) && (
          <button
            type="button"
            class="button quiet small pick-toggle"
            aria-pressed={picked !== null}
            aria-label={t("bulk.select")}
            title={t("bulk.select")}
            onClick={() => setPicked(picked === null ? new Set() : null)}
          >
            <Icon name="select" />
          </button>
        )}
      </nav>
      {inParts && (
        <nav class="parts" aria-label={t("list.parts")}>
          {PARTS.filter((one) => one !== "calls" || supervises(state.me)).map((one) => (
            <a key={one} href={hashOf({ screen: "list", box: one })} class="chip" aria-current={one === box ? "page" : undefined}>
              {one !== "all" && <Icon name={one === "missed" ? "missed" : "phone"} />}
              {t(`list.part_${one}`)}
            </a>
          ))}
        </nav>
      )}
      {box === "waiting" && <Oldest />}
      {loading ? (
        <Busy text={t("list.loading")} />
      ) : cards.length === 0 ? (
        <Empty icon={box === "calls" || box === "missed" ? "phone" : "chat"} title={t(`list.${box}_empty`)} next={t(`list.${box}_empty_next`)} />
      ) : (
        <Rows
          parts={box === "mine" ? sections(cards, state.pins) : [{ section: "now", cards }]}
          open={open}
          hears={box === "calls"}
          picked={picked}
          onPick={setPicked}
        />
      )}
      {more && (cards.length > 0 || box === "missed") && (
        <button type="button" class="button quiet more" disabled={paging.loading !== null} onClick={() => connection.list(box, true)}>
          {t(paging.loading === null ? "list.more" : "list.loading")}
        </button>
      )}
      {picked !== null && <BulkBar cards={cards} picked={picked} onPick={setPicked} onDone={() => setPicked(null)} />}
    </section>
  );
}

function Oldest() {
  const { state } = useDesk();
  const first = waiting(state).find((card) => waitingSince(card) > 0);
  if (first === undefined) return null;
  return (
    <p class="oldest">
      <Since at={waitingSince(first)} label="list.oldest" />
    </p>
  );
}

interface RowsProps {
  parts: readonly { section: Section; cards: readonly Card[] }[];
  open: string | null;
  /** Talks can be listened to from here. */
  hears: boolean;
  /** The sessions picked for a deed at once; null: none are being picked. */
  picked: ReadonlySet<string> | null;
  onPick: (picked: ReadonlySet<string>) => void;
}

/** One stop of the Tab key; arrows move within, Enter is the link's own, Space picks. */
function Rows({ parts, open, hears, picked, onPick }: RowsProps) {
  const { t } = useWords();
  const list = useRef<HTMLDivElement>(null);
  const cards = parts.flatMap((part) => part.cards);
  const stop = cards.find((card) => card.session === open)?.session ?? cards[0]?.session;
  const titled = parts.some(({ section }) => section === "pinned" || section === "snoozed");

  function pick(session: string): void {
    const next = new Set(picked);
    if (!next.delete(session)) next.add(session);
    onPick(next);
  }

  function onKeyDown(event: KeyboardEvent): void {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const links = [...(list.current?.querySelectorAll<HTMLAnchorElement>("a") ?? [])];
    const at = links.findIndex((link) => link === document.activeElement);
    if (at < 0) return;
    const card = cards.find((one) => one.session === links[at]?.dataset.session);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: links.length - 1 }[event.key];
    if (to !== undefined) links[Math.min(links.length - 1, Math.max(0, to))]?.focus();
    else if (event.key === " " && picked !== null && card !== undefined && mayPick(card)) pick(card.session);
    else return;
    event.preventDefault();
  }

  return (
    <div class={picked === null ? "rows" : "rows picking"} ref={list} onKeyDown={onKeyDown}>
      {parts.map(({ section, cards: some }) => (
        <section key={section} aria-label={titled ? t(`list.section_${section}`) : undefined}>
          {titled && section !== "offered" && (
            <h3 class="rows-title">
              {t(`list.section_${section}`)} <span class="count">{some.length}</span>
            </h3>
          )}
          <ul>
            {some.map((card) => (
              <Row
                key={card.session}
                card={card}
                open={card.session === open}
                stop={card.session === stop}
                hears={hears}
                picked={picked === null ? null : picked.has(card.session)}
                onPick={() => pick(card.session)}
              />
            ))}
          </ul>
        </section>
      ))}
    </div>
  );
}

interface RowProps {
  card: Card;
  open: boolean;
  stop: boolean;
  hears: boolean;
  /** Null: nothing is being picked. */
  picked: boolean | null;
  onPick: () => void;
}

function Row({ card, open, stop, hears, picked, onPick }: RowProps) {
  const words = useWords();
  const { connection, state } = useDesk();
  const link = useRef<HTMLAnchorElement>(null);
  useEffect(() => {
    if (open) link.current?.scrollIntoView({ block: "nearest" });
  }, [open]);
  const offered = isOffered(card);
  const asked = asksMe(card, state.me);
  const call = isCall(card);

  function take(): void {
    connection.deed(card.session, "take");
    link.current?.click();
  }

  return (
    <li class={offered || asked ? "row offered" : isMissed(card) ? "row is-missed" : "row"}>
      {picked !== null && (
        <label class="pick">
          <input
            type="checkbox"
            checked={picked}
            disabled={!mayPick(card)}
            tabIndex={stop ? 0 : -1}
            aria-label={words.t("bulk.pick", { name: cleanName(card.contact_name) || words.t("thread.nobody") })}
            onChange={onPick}
          />
        </label>
      )}
      <a
        ref={link}
        href={hashOf({ screen: "session", session: card.session })}
        data-session={card.session}
        aria-current={open ? "true" : undefined}
        tabIndex={stop ? 0 : -1}
      >
        <Avatar id={card.contact} name={card.contact_name} />
        <span class="row-text">
          <span class="row-top">
            <span class="row-name">
              <Name of={card.contact_name} />
            </span>
            {call && (
              <Icon
                name={isMissed(card) ? "missed" : isOutgoing(card) ? "call_out" : "phone"}
                label={isOutgoing(card) ? words.t("call.outgoing") : words.word("channel", card.channel)}
              />
            )}
            {state.pins.has(card.session) && <Icon name="pin" label={words.t("list.pinned_one")} />}
            <When card={card} />
          </span>
          <span class="row-last" dir="auto">
            {call ? callText(card, words.t) : <LastWords card={card} />}
          </span>
          <span class="row-bottom">
            {!call && <span>{words.word("channel", card.channel)}</span>}
            <span>{card.line_name}</span>
            <Standing card={card} />
          </span>
        </span>
      </a>
      {asked && (
        <span class="row-actions">
          <span class="lift">
            {words.t(card.talk?.lifted === true ? "talk.asks_lifted" : "talk.asks", {
              name: cleanName(card.operator_name ?? "") || words.t("thread.nobody"),
            })}
          </span>
        </span>
      )}
      {hears && may("listen", card, state.me) && (
        <div class="row-actions">
          <ListenButtons card={card} small />
        </div>
      )}
      {call && isWaiting(card) && (
        <span class="row-actions">
          <button type="button" class="button small" disabled={state.link !== "live"} onClick={take}>
            {words.t(promisedAt(card) > 0 ? "callout.now" : "thread.ring_me")}
          </button>
        </span>
      )}
      {may("settle", card, state.me) && (
        <span class="row-actions">
          {card.talk?.number && <CallButton number={card.talk.number} session={card.session} />}
          <SettleButton card={card} />
        </span>
      )}
      {offered && (
        <span class="row-actions">
          {ringsMe(card) ? (
            <span class="lift">{words.t(isOutgoing(card) ? "thread.rings_out" : "thread.rings")}</span>
          ) : (
            <button type="button" class="button primary small" disabled={state.link !== "live"} onClick={take}>
              {words.t("thread.take")}
            </button>
          )}
          <button
            type="button"
            class="button small"
            disabled={state.link !== "live"}
            onClick={() => connection.deed(card.session, "decline")}
          >
            {words.t("thread.decline")}
          </button>
        </span>
      )}
    </li>
  );
}

/** What was said last; of a message without words what it is, with its sign. */
function LastWords({ card }: { card: Card }) {
  const { t, word } = useWords();
  const what = card.last_what ?? "";
  const words = card.last_text ?? "";
  const text = words || (what === "" ? "" : word("what", what, cleanName(what)));
  if (text === "") return <>{t("list.no_text")}</>;
  const sign = words === "" ? (KIND_ICONS[what] ?? "question") : null;
  return (
    <>
      {sign !== null && <Icon name={sign} />}
      {sign !== null && " "}
      {card.last_who === "operator" ? t("list.you", { text }) : text}
    </>
  );
}

/** The number, unless that is the name already. */
function callText(card: Card, t: ReturnType<typeof useWords>["t"]): string {
  const number = phoneText(card.talk?.number ?? "");
  return number === "" ? t("talk.withheld") : number === phoneText(card.contact_name) ? t("list.call") : number;
}

/** The time that matters: what is left of an offer, how long they wait, or when something last happened. */
function When({ card }: { card: Card }) {
  const words = useWords();
  const now = useNow(60_000);
  const since = waitingSince(card);
  if (isOffered(card)) {
    return (
      <span class="when urgent">
        <Until at={card.offered_until ?? 0} />
      </span>
    );
  }
  if (promisedAt(card) > now) return <Promised at={promisedAt(card)} />;
  if (isCall(card) && card.status !== "closed") {
    return (
      <span class={standingOf(card) === "talking" ? "when talks" : "when waits"} title={words.t(`standing.${standingOf(card)}`)}>
        <Lasts from={standsSince(card)} to={null} />
      </span>
    );
  }
  if (since > 0) {
    return (
      <span class="when waits" title={words.t("list.waits", { time: words.dateTime(since) })}>
        <Since at={since} />
      </span>
    );
  }
  if (card.status === "snoozed" && (card.snoozed_until ?? 0) > 0) {
    const until = card.snoozed_until ?? 0;
    return (
      <time class="when" dateTime={new Date(until).toISOString()} title={words.dateTime(until)}>
        {words.t("list.until", { time: words.weekdayTime(until, now) })}
      </time>
    );
  }
  const at = card.changed ?? card.opened;
  return (
    <time class="when" dateTime={new Date(at).toISOString()} title={words.t("list.changed", { time: words.dateTime(at) })}>
      {words.short(at, now)}
    </time>
  );
}

/** How long it is until somebody is to be called. */
function Promised({ at }: { at: number }) {
  const words = useWords();
  const now = useNow(1000);
  return (
    <time class="when" dateTime={new Date(at).toISOString()} title={words.dateTime(at)}>
      {words.t("list.in", { time: words.duration(at - now) })}
    </time>
  );
}

function Standing({ card }: { card: Card }) {
  const words = useWords();
  const { t } = words;
  const { state } = useDesk();
  const { me } = state;
  if (isOffered(card)) {
    const by = card.passed_by ? cleanName(nameOf(state, card.passed_by)) || t("thread.nobody") : "";
    return (
      <>
        <span class="status offered">{t("status.offered")}</span>
        {by !== "" && (
          <span class="passed">
            <Icon name="arrow" />
            <bdi>{t("list.passed_by", { name: by })}</bdi>
          </span>
        )}
      </>
    );
  }
  if (isPassedBy(card, me)) return <span class="status offered">{t("list.is_passed")}</span>;
  const colleague = card.operator && card.operator !== me?.id ? cleanName(card.operator_name ?? "") : "";
  if (isCall(card)) return <CallStanding card={card} colleague={colleague} />;
  return (
    <>
      <span class={`status ${card.status}`}>{words.word("status", card.status)}</span>
      {isInvited(card, me) && <span class="status offered">{t("list.invited")}</span>}
      {isJoinedBy(card, me) && <span class="status">{t("list.joined")}</span>}
      {colleague !== "" && <bdi>{colleague}</bdi>}
    </>
  );
}

const TONES: Readonly<Record<Standing, string>> = {
  waiting: "queued",
  promised: "queued",
  ringing: "offered",
  calling: "offered",
  talking: "active",
  held: "held",
  asking: "held",
  missed: "missed",
  not_reached: "missed",
  callback: "closed",
  over: "closed",
};

/** How a call stands, with whom, and who hears it. */
function CallStanding({ card, colleague }: { card: Card; colleague: string }) {
  const words = useWords();
  const { t } = words;
  const { state } = useDesk();
  const now = useNow(60_000);
  const stands = standingOf(card);
  const due = promisedAt(card);
  const name = (operator: string): string => (operator === state.me?.id ? t("thread.you") : cleanName(nameOf(state, operator)) || t("thread.nobody"));
  const listeners = card.talk?.listeners ?? [];
  return (
    <>
      <span class={`status ${TONES[stands]}`}>
        {heldSince(card) > 0 && <Icon name="pause" />}
        {due > now ? t("call.promised", { time: words.weekdayTime(due, now) }) : t(`standing.${stands}`)}
        {stands === "asking" && (
          <>
            {" "}
            <bdi>{name(consulted(card))}</bdi>
          </>
        )}
      </span>
      {triesOf(card, words) !== "" && <span>{triesOf(card, words)}</span>}
      <Planned card={card} />
      {isJoinedBy(card, state.me) && <span class="status">{t("list.joined")}</span>}
      {colleague !== "" && <bdi>{colleague}</bdi>}
      {listeners.length > 0 && <bdi>{t("talk.listeners", { names: listeners.map(name).join(", ") })}</bdi>}
    </>
  );
}
