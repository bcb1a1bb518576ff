import { useEffect, useRef } from "preact/hooks";
import type { Box, Card } from "../../shared/frames/operator";
import { hashOf } from "../routes";
import { cardsIn, isOffered, waiting, waitingSince } from "../store";
import { cleanName } from "../text";
import { Avatar, Busy, Empty, Name, Since, Until } from "./bits";
import { useDesk, useNow, useWords } from "./context";

const BOXES: readonly Box[] = ["mine", "waiting", "all"];

export function SessionList({ box, open }: { box: Box; open: string | null }) {
  const { t } = useWords();
  const { state, connection } = useDesk();
  const cards = cardsIn(state, box);
  const paging = state.paging[box];
  // The first hundred of the waiting come with the snapshot; where the rest begins, only the list's own page says.
  const more = box === "mine" ? false : paging.loaded ? paging.next !== null : box === "waiting" && state.counts.waiting > cards.length;
  const known = state.link !== "connecting" || state.me !== null;
  const loading = !known || (cards.length === 0 && paging.loading !== null);

  return (
    <section class="list" aria-label={t("list.label")}>
      <nav class="tabs" aria-label={t("list.label")}>
        {BOXES.map((one) => (
          <a key={one} href={hashOf({ screen: "list", box: one })} class="tab" aria-current={one === box ? "page" : undefined}>
            {t(`list.${one}`)}
            {one !== "all" && state.counts[one] > 0 && <span class="count">{state.counts[one]}</span>}
          </a>
        ))}
      </nav>
      {box === "waiting" && <Oldest />}
      {loading ? (
        <Busy text={t("list.loading")} />
      ) : cards.length === 0 ? (
        <Empty icon="chat" title={t(`list.${box}_empty`)} next={t(`list.${box}_empty_next`)} />
      ) : (
        <Rows cards={cards} open={open} />
      )}
      {more && cards.length > 0 && (
        <button type="button" class="button quiet more" disabled={paging.loading !== null} onClick={() => connection.list(box, true)}>
          {t(paging.loading === null ? "list.more" : "list.loading")}
        </button>
      )}
    </section>
  );
}

function Oldest() {
  const { state } = useDesk();
  const first = waiting(state)[0];
  if (first === undefined) return null;
  return (
    <p class="oldest">
      <Since at={waitingSince(first)} label="list.oldest" />
    </p>
  );
}

/** One stop of the Tab key; arrows move within, Enter is the link's own. */
function Rows({ cards, open }: { cards: readonly Card[]; open: string | null }) {
  const list = useRef<HTMLUListElement>(null);
  const stop = cards.find((card) => card.session === open)?.session ?? cards[0]?.session;

  function onKeyDown(event: KeyboardEvent): void {
    const links = [...(list.current?.querySelectorAll<HTMLAnchorElement>("a") ?? [])];
    const at = links.findIndex((link) => link === document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: links.length - 1 }[event.key];
    if (to === undefined || at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    links[Math.min(links.length - 1, Math.max(0, to))]?.focus();
  }

  return (
    <ul class="rows" ref={list} onKeyDown={onKeyDown}>
      {cards.map((card) => (
        <Row key={card.session} card={card} open={card.session === open} stop={card.session === stop} />
      ))}
    </ul>
  );
}

function Row({ card, open, stop }: { card: Card; open: boolean; stop: boolean }) {
  const words = useWords();
  const { connection, state } = useDesk();
  const link = useRef<HTMLAnchorElement>(null);
  useEffect(() => {
    if (open) link.current?.scrollIntoView({ block: "nearest" });
  }, [open]);
  const offered = isOffered(card);
  return (
    <li class={offered ? "row offered" : "row"}>
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
            <When card={card} />
          </span>
          <span class="row-last" dir="auto">
            {lastWords(card, words.t)}
          </span>
          <span class="row-bottom">
            <span>{words.word("channel", card.channel)}</span>
            <span>{card.line_name}</span>
            <Standing card={card} />
          </span>
        </span>
      </a>
      {offered && (
        <span class="row-actions">
          <button
            type="button"
            class="button primary small"
            disabled={state.link !== "live"}
            onClick={() => {
              connection.deed(card.session, "take");
              link.current?.click();
            }}
          >
            {words.t("thread.take")}
          </button>
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

function lastWords(card: Card, t: ReturnType<typeof useWords>["t"]): string {
  const text = card.last_text ?? "";
  if (text === "") return t("list.no_text");
  return card.last_who === "operator" ? t("list.you", { text }) : text;
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
  if (since > 0) {
    return (
      <span class="when waits" title={words.t("list.waits", { time: words.dateTime(since) })}>
        <Since at={since} />
      </span>
    );
  }
  const at = card.changed ?? card.opened;
  return (
    <time class="when" dateTime={new Date(at).toISOString()} title={words.t("list.changed", { time: words.dateTime(at) })}>
      {words.short(at, now)}
    </time>
  );
}

function Standing({ card }: { card: Card }) {
  const words = useWords();
  const { state } = useDesk();
  if (isOffered(card)) return <span class="status offered">{words.t("status.offered")}</span>;
  const colleague = card.operator && card.operator !== state.me?.id ? cleanName(card.operator_name ?? "") : "";
  return (
    <>
      <span class={`status ${card.status}`}>{words.word("status", card.status)}</span>
      {colleague !== "" && <bdi>{colleague}</bdi>}
    </>
  );
}
