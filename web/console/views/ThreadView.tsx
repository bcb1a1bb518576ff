import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Box, Card } from "../../shared/frames/operator";
import { hashOf } from "../routes";
import { isOffered, isWaiting, mayClose, type Thread } from "../store";
import { cleanName } from "../text";
import { Busy, Empty, Icon, Name } from "./bits";
import { Composer } from "./Composer";
import { ContactPanel } from "./ContactPanel";
import { useDesk, useNow, useWords } from "./context";
import { Messages } from "./Messages";

/** Somebody who wrote so long ago writes no more. */
const TYPING_MS = 6_000;

interface ThreadProps {
  thread: Thread;
  back: Box;
  onTake: (session: string) => void;
  onDecline: (session: string) => void;
  onClose: (session: string) => void;
}

export function ThreadView({ thread, back, onTake, onDecline, onClose }: ThreadProps) {
  const { t } = useWords();
  const { connection } = useDesk();
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
          {card !== null && !thread.gone && <Buttons card={card} onTake={onTake} onDecline={onDecline} onClose={onClose} />}
          <button
            type="button"
            class="button quiet contact-toggle"
            aria-expanded={contactShown}
            aria-controls="contact"
            aria-label={t(contactShown ? "thread.contact_close" : "thread.contact_open")}
            onClick={() => setContactShown(!contactShown)}
          >
            <Icon name="card" />
          </button>
        </header>
        {card !== null && isOffered(card) && !thread.gone && (
          <p class="offer-line">
            <OfferLeft until={card.offered_until ?? 0} />
          </p>
        )}
        {thread.status === "loading" ? <Busy text={t("thread.loading")} /> : <Messages thread={thread} />}
        <Typing conversation={card?.conversation ?? ""} />
        {card !== null && <Composer key={thread.session} card={card} gone={thread.gone} />}
      </section>
      <ContactPanel thread={thread} shown={contactShown} onHide={() => setContactShown(false)} />
    </>
  );
}

function Subtitle({ card }: { card: Card }) {
  const words = useWords();
  const { state } = useDesk();
  const colleague = card.operator && card.operator !== state.me?.id && card.status !== "closed" ? cleanName(card.operator_name ?? "") : "";
  const parts = [
    words.word("status", card.status),
    words.word("channel", card.channel),
    card.line_name,
    colleague && words.t("thread.held_by", { name: colleague }),
    card.outcome ?? "",
  ];
  return <p class="subtitle">{parts.filter((part) => part !== "").join(" · ")}</p>;
}

function OfferLeft({ until }: { until: number }) {
  const words = useWords();
  const left = until - useNow(500);
  return <>{words.t("thread.offer", { time: words.duration(left + 999) })}</>;
}

function Buttons({ card, onTake, onDecline, onClose }: { card: Card } & Pick<ThreadProps, "onTake" | "onDecline" | "onClose">) {
  const { t } = useWords();
  const { state } = useDesk();
  const doing = state.deeds.find((deed) => deed.session === card.session && deed.state === "waiting")?.verb;
  // What is decided against the clock is not kept for later: only words are.
  const off = state.link !== "live" || doing === "take" || doing === "decline" || doing === "close";
  return (
    <div class="thread-buttons">
      {(isWaiting(card) || isOffered(card)) && (
        <button type="button" class="button primary" disabled={off} aria-keyshortcuts="Alt+T" title="Alt+T" onClick={() => onTake(card.session)}>
          {t(doing === "take" ? "thread.taking" : "thread.take")}
        </button>
      )}
      {isOffered(card) && (
        <button type="button" class="button" disabled={off} aria-keyshortcuts="Alt+D" title="Alt+D" onClick={() => onDecline(card.session)}>
          {t("thread.decline")}
        </button>
      )}
      {/* An offer is a question of yes or no; a supervisor closes it after declining. */}
      {mayClose(card, state.me) && !isOffered(card) && (
        <button type="button" class="button" disabled={off} aria-keyshortcuts="Alt+C" title="Alt+C" onClick={() => onClose(card.session)}>
          {t(doing === "close" ? "thread.closing" : "thread.close")}
        </button>
      )}
    </div>
  );
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
