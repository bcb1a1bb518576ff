import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Box, Card } from "../../shared/frames/operator";
import { hashOf } from "../routes";
import { asksMe, consulted, isCall, isInvited, isOffered, isOutgoing, isPassedBy, nameOf, promisedAt, ringsMe, standingOf, type Thread } from "../store";
import { cleanName } from "../text";
import { may, type Verb } from "../verbs";
import { ActionMenu, type MenuItem } from "./ActionMenu";
import { Busy, Empty, Icon, Name } from "./bits";
import { CallPanel } from "./CallPanel";
import { Composer } from "./Composer";
import { Composed } from "./composing";
import { ContactPanel } from "./ContactPanel";
import { useDesk, useNow, useOff, useWords } from "./context";
import { Messages } from "./Messages";
import { Review } from "./Review";
import { Brief, TalkBar } from "./TalkBar";
import { WhyPanel } from "./WhyPanel";

/** Somebody who wrote so long ago writes no more. */
const TYPING_MS = 6_000;

/** What is asked about before it is done. */
export type Question = "close" | "transfer" | "assign" | "invite" | "consult" | "snooze" | "spam";

interface ThreadProps {
  thread: Thread;
  back: Box;
  /** Whether "why me?" stands beside it. */
  why: boolean;
  onWhy: (shown: boolean) => void;
  onTake: (session: string) => void;
  onDecline: (session: string) => void;
  onAsk: (question: Question, card: Card) => void;
}

export function ThreadView({ thread, back, why, onWhy, onTake, onDecline, onAsk }: ThreadProps) {
  const { t } = useWords();
  const { connection, state } = useDesk();
  const [contactShown, setContactShown] = useState(false);
  const heading = useRef<HTMLHeadingElement>(null);
  const { card } = thread;

  // Who opened the dialogue by the keyboard goes on from its name. A layout effect comes before the composer's own, which
  // takes the focus when one may answer.
  useLayoutEffect(() => heading.current?.focus({ preventScroll: true }), [thread.session]);
  useEffect(() => setContactShown(false), [thread.session]);

  if (thread.status === "failed") {
    return (
      <Empty icon="warning" title={t("thread.failed")} next={t("refused.unavailable")}>
        <button type="button" class="button" onClick={() => connection.open(thread.session)}>
          {t("app.retry")}
        </button>
      </Empty>
    );
  }
  if (thread.status === "missing") {
    return (
      <Empty icon="question" title={t("thread.missing")} next={t("thread.missing_next")}>
        <a class="button" href={hashOf({ screen: "list", box: back })}>
          {t("thread.back")}
        </a>
      </Empty>
    );
  }
  return (
    <>
      <section class="thread" aria-label={t("thread.label", { name: cleanName(card?.contact_name ?? "") || t("thread.nobody") })}>
        <header class="thread-head">
          <a class="button quiet back" href={hashOf({ screen: "list", box: back })} aria-label={t("thread.back")}>
            <Icon name="back" />
          </a>
          <div class="thread-title">
            <h2 ref={heading} tabIndex={-1}>
              <Name of={card?.contact_name ?? ""} />
            </h2>
            {card !== null && <Subtitle card={card} />}
          </div>
          {card !== null && !thread.gone && <Buttons card={card} onTake={onTake} onDecline={onDecline} onAsk={onAsk} />}
          {card !== null && <Actions card={card} gone={thread.gone} onAsk={onAsk} onWhy={() => onWhy(true)} />}
          <button
            type="button"
            class="button quiet contact-toggle"
            aria-expanded={contactShown && !why}
            aria-controls="contact"
            aria-label={t(contactShown && !why ? "thread.contact_close" : "thread.contact_open")}
            onClick={() => {
              onWhy(false);
              setContactShown(!contactShown || why);
            }}
          >
            <Icon name="card" />
          </button>
        </header>
        {card !== null && isOffered(card) && !thread.gone && (
          <p class="offer-line">
            {ringsMe(card) && (
              <>
                <Icon name="phone" /> {t(isOutgoing(card) ? "thread.rings_out" : "thread.rings")}
                {" · "}
              </>
            )}
            <OfferLeft until={card.offered_until ?? 0} rings={ringsMe(card)} />
            {card.passed_by && (
              <>
                {" · "}
                <bdi>{t("thread.passed_by", { name: cleanName(nameOf(state, card.passed_by)) || t("thread.nobody") })}</bdi>
              </>
            )}
          </p>
        )}
        {card !== null && !thread.gone && (ringsMe(card) || asksMe(card, state.me)) && <Brief card={card} contact={thread.contact} />}
        {card !== null && isPassedBy(card, state.me) && !thread.gone && <p class="offer-line">{t("thread.is_passed")}</p>}
        {card !== null && !thread.gone && <Snoozed card={card} onWake={onTake} />}
        {card !== null && !thread.gone && isInvited(card, state.me) && !asksMe(card, state.me) && <Invitation card={card} />}
        {card !== null && <Facts card={card} />}
        {card !== null && !thread.gone && <TalkBar card={card} onAsk={onAsk} />}
        {card !== null && isCall(card) && <CallPanel key={thread.session} card={card} />}
        <Composed key={thread.session} card={card} thread={thread}>
          {thread.status === "loading" ? <Busy text={t("thread.loading")} /> : <Messages thread={thread} />}
          <Typing conversation={card?.conversation ?? ""} />
          {card !== null && may("review", card, state.me) && <Review session={thread.session} />}
          {card !== null && <Composer card={card} thread={thread} />}
        </Composed>
      </section>
      {why ? (
        <WhyPanel session={thread.session} news={`${card?.status} ${card?.changed} ${card?.operator}`} onHide={() => onWhy(false)} />
      ) : (
        <ContactPanel thread={thread} shown={contactShown} onHide={() => setContactShown(false)} />
      )}
    </>
  );
}

function Subtitle({ card }: { card: Card }) {
  const words = useWords();
  const { state } = useDesk();
  const colleague = card.operator && card.operator !== state.me?.id && card.status !== "closed" ? cleanName(card.operator_name ?? "") : "";
  const parts = [
    isCall(card) ? words.t(consulted(card) ? "standing.held" : `standing.${standingOf(card)}`) : words.word("status", card.status),
    words.word("channel", card.channel),
    card.line_name,
    colleague && words.t("thread.held_by", { name: colleague }),
    // What its standing says already.
    isCall(card) && standingOf(card) === card.outcome ? "" : (card.outcome ?? ""),
  ];
  return (
    <p class="subtitle">
      {isOutgoing(card) ? <Icon name="call_out" label={words.t("call.outgoing")} /> : isCall(card) && <Icon name="phone" />}{" "}
      {parts.filter((part) => part !== "").join(" · ")}
    </p>
  );
}

function OfferLeft({ until, rings }: { until: number; rings: boolean }) {
  const words = useWords();
  const left = until - useNow(500);
  return <>{words.t(rings ? "thread.rings_left" : "thread.offer", { time: words.duration(left + 999) })}</>;
}

/** Put off by whoever holds it, who alone may wake it before its time; a word of the customer does so as well. */
function Snoozed({ card, onWake }: { card: Card; onWake: (session: string) => void }) {
  const words = useWords();
  const { state } = useDesk();
  const now = useNow(60_000);
  if (card.status !== "snoozed") return null;
  return (
    <div class="thread-banner">
      <Icon name="snooze" />
      <p>
        {words.t("thread.snoozed", { time: words.weekdayTime(card.snoozed_until ?? 0, now) })}{" "}
        <span class="hint">{words.t("thread.snoozed_hint")}</span>
      </p>
      {may("take", card, state.me) && (
        <button type="button" class="button small" disabled={state.link !== "live"} onClick={() => onWake(card.session)}>
          {words.t("thread.wake")}
        </button>
      )}
    </div>
  );
}

function Invitation({ card }: { card: Card }) {
  const { t } = useWords();
  const { state, connection } = useDesk();
  const off = state.link !== "live";
  return (
    <div class="thread-banner">
      <Icon name="people" />
      <p>{t("thread.invited")}</p>
      {may("join", card, state.me) && (
        <button type="button" class="button primary small" disabled={off} onClick={() => connection.deed(card.session, "join")}>
          {t("verb.join")}
        </button>
      )}
      <button type="button" class="button small" disabled={off} onClick={() => connection.deed(card.session, "leave")}>
        {t("thread.decline")}
      </button>
    </div>
  );
}

/** Who is in it beside whoever answers, and what the customer thought of it. */
function Facts({ card }: { card: Card }) {
  const { t } = useWords();
  const { state } = useDesk();
  const members = card.members ?? [];
  // Whoever is asked about a call stands beside it.
  const invited = (card.invited ?? []).filter((operator) => operator !== consulted(card));
  const pinned = state.pins.has(card.session);
  if (members.length + invited.length === 0 && !card.rating && !pinned) return null;
  const name = (operator: string): string =>
    operator === state.me?.id ? t("thread.you") : cleanName(nameOf(state, operator)) || t("thread.nobody");
  return (
    <ul class="facts-line" aria-label={t("thread.facts")}>
      {members.length + invited.length > 0 && card.operator && (
        <li class="chip">
          <Icon name="chat" label={t("thread.answers")} />
          <bdi>{name(card.operator)}</bdi>
        </li>
      )}
      {members.map((operator) => (
        <li key={operator} class="chip">
          <Icon name="people" label={t("thread.joined")} />
          <bdi>{name(operator)}</bdi>
        </li>
      ))}
      {invited.map((operator) => (
        <li key={operator} class="chip faint">
          <span>
            <bdi>{name(operator)}</bdi> · {t("thread.is_invited")}
          </span>
        </li>
      ))}
      {card.rating && (
        <li class={card.rating === "good" ? "chip good" : "chip bad"}>
          <Icon name={card.rating === "good" ? "thumb_up" : "thumb_down"} />
          {t(card.rating === "good" ? "thread.rated_good" : "thread.rated_bad")}
        </li>
      )}
      {pinned && (
        <li class="chip">
          <Icon name="pin" />
          {t("list.pinned_one")}
        </li>
      )}
    </ul>
  );
}

type ButtonProps = { card: Card } & Pick<ThreadProps, "onTake" | "onDecline" | "onAsk">;

/** What is done most; the rest is in the menu. */
function Buttons({ card, onTake, onDecline, onAsk }: ButtonProps) {
  const { t } = useWords();
  const { me } = useDesk().state;
  const { off, doing } = useOff(card);
  const offered = may("decline", card, me);
  const taking = isCall(card) ? "thread.ringing_me" : "thread.taking";
  const take = promisedAt(card) > 0 ? "callout.now" : isCall(card) ? "thread.ring_me" : isPassedBy(card, me) ? "thread.take_back" : "thread.take";
  return (
    <div class="thread-buttons">
      {may("take", card, me) && card.status !== "snoozed" && (
        <button type="button" class="button primary" disabled={off} aria-keyshortcuts="Alt+T" title="Alt+T" onClick={() => onTake(card.session)}>
          {t(doing === "take" ? taking : take)}
        </button>
      )}
      {offered && (
        <button type="button" class="button" disabled={off} aria-keyshortcuts="Alt+D" title="Alt+D" onClick={() => onDecline(card.session)}>
          {t("thread.decline")}
        </button>
      )}
      {/* Of a talk it stands beside what else is done with one. */}
      {may("transfer", card, me) && card.status === "active" && !isCall(card) && (
        <button type="button" class="button wide-only" disabled={off} aria-keyshortcuts="Alt+R" title="Alt+R" onClick={() => onAsk("transfer", card)}>
          {t("verb.transfer")}
        </button>
      )}
      {/* An offer is a question of yes or no; a supervisor closes it after declining. */}
      {may("close", card, me) && !offered && (
        <button type="button" class="button" disabled={off} aria-keyshortcuts="Alt+C" title="Alt+C" onClick={() => onAsk("close", card)}>
          {t(doing === "close" ? "thread.closing" : "thread.close")}
        </button>
      )}
    </div>
  );
}

interface ActionsProps {
  card: Card;
  /** It left my lists: what the console knows of it may be old. */
  gone: boolean;
  onAsk: (question: Question, card: Card) => void;
  onWhy: () => void;
}

function Actions({ card, gone, onAsk, onWhy }: ActionsProps) {
  const { t } = useWords();
  const { state, connection } = useDesk();
  const { off } = useOff(card);
  const { me } = state;
  const pinned = state.pins.has(card.session);
  const can = (verb: Verb): boolean => !gone && may(verb, card, me);
  const ask = (question: Question) => () => onAsk(question, card);
  const deed = (verb: "join" | "leave" | "take_over") => () => connection.deed(card.session, verb);
  const items: (MenuItem | false)[] = [
    can("transfer") && { key: "transfer", icon: "arrow", text: t("verb.transfer_to"), keys: "Alt+R", onChoose: ask("transfer") },
    can("assign") && { key: "assign", icon: "check", text: t("verb.assign"), onChoose: ask("assign") },
    can("invite") && { key: "invite", icon: "people", text: t("verb.invite"), onChoose: ask("invite") },
    can("join") && { key: "join", icon: "chat", text: t("verb.join"), onChoose: deed("join") },
    can("leave") && { key: "leave", icon: "leave", text: t(isInvited(card, me) ? "verb.decline_invitation" : "verb.leave"), onChoose: deed("leave") },
    can("take_over") && { key: "take_over", icon: "crown", text: t("verb.take_over"), onChoose: deed("take_over") },
    can("snooze") && { key: "snooze", icon: "snooze", text: t("verb.snooze"), keys: "Alt+S", onChoose: ask("snooze") },
    can("spam") && { key: "spam", icon: "spam", text: t("verb.spam"), danger: true, onChoose: ask("spam") },
  ];
  const always: MenuItem[] = [
    {
      key: "pin",
      icon: "pin",
      text: t(pinned ? "verb.unpin" : "verb.pin"),
      keys: "Alt+P",
      disabled: state.link !== "live",
      onChoose: () => connection.pin(card.session, !pinned),
    },
    { key: "why", icon: "route", text: t("why.title"), keys: "Alt+W", onChoose: onWhy },
  ];
  const byStatus = items.filter((item) => item !== false).map((item) => ({ ...item, disabled: off }));
  const spam = byStatus.filter((item) => item.danger === true);
  const others = byStatus.filter((item) => item.danger !== true);
  return <ActionMenu id="actions" label={t("thread.actions")} keys="Alt+A" items={[...others, ...always, ...spam]} />;
}

function Typing({ conversation }: { conversation: string }) {
  const { t } = useWords();
  const { typing } = useDesk().state;
  const now = useNow(1000);
  const shown = typing !== null && typing.conversation === conversation && now - typing.at < TYPING_MS;
  return (
    <p class="typing" aria-live="off">
      {shown ? t("thread.typing", { name: cleanName(typing.name) || t(`who.${typing.who}`) }) : ""}
    </p>
  );
}
