import { useEffect, useRef, useState } from "preact/hooks";
import { type Decision, decisions as readPage, detailOf } from "../api";
import { Busy, Empty, Failed, Icon } from "./bits";
import { useNow, useWords } from "./context";

interface Book {
  session: string;
  items: readonly Decision[];
  cursor: number | null;
  step: "loading" | "ready" | "failed";
  problem: string;
}

const nothingOf = (session: string): Book => ({ session, items: [], cursor: null, step: "loading", problem: "" });

/** Why did this session go where it went? Every decision, the newest first; read anew when the session has news. */
export function WhyPanel({ session, news, onHide }: { session: string; news: string; onHide: () => void }) {
  const { t, language } = useWords();
  const [book, setBook] = useState(() => nothingOf(session));
  const heading = useRef<HTMLHeadingElement>(null);
  /** Answers to an older question are not shown. */
  const asked = useRef(0);
  useEffect(() => heading.current?.focus(), []);

  async function read(cursor: number | null): Promise<void> {
    const mine = (asked.current += 1);
    const shown = book.session === session ? book : nothingOf(session);
    setBook({ ...shown, step: "loading", problem: "" });
    try {
      const page = await readPage(session, cursor, language);
      if (mine !== asked.current) return;
      const items = cursor === null ? page.decisions : [...shown.items, ...page.decisions];
      setBook({ session, items, cursor: page.next_cursor, step: "ready", problem: "" });
    } catch (error) {
      if (mine !== asked.current) return;
      setBook({ ...shown, step: "failed", problem: detailOf(error) });
    }
  }
  useEffect(() => {
    void read(null);
    return () => {
      asked.current += 1;
    };
  }, [session, news, language]);

  const { items, cursor, step, problem } = book;
  /** Why it is where it is: what one came to see. The seats of the others are unfolded by hand. */
  const lastChoice = items.find((decision) => decision.seats.length > 0);
  return (
    <aside
      id="why"
      class="contact why shown"
      aria-labelledby="why-title"
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        onHide();
      }}
    >
      <header class="why-head">
        <h2 id="why-title" ref={heading} tabIndex={-1}>
          {t("why.title")}
        </h2>
        <button type="button" class="button quiet" aria-label={t("why.hide")} onClick={onHide}>
          <Icon name="cross" />
        </button>
      </header>
      {items.length > 0 && (
        <ol class="decisions">
          {items.map((decision, index) => (
            <DecisionItem key={`${decision.at} ${decision.kind} ${index}`} decision={decision} unfolded={decision === lastChoice} />
          ))}
        </ol>
      )}
      {step === "ready" && items.length === 0 && cursor === null && <Empty icon="route" title={t("why.empty")} next={t("why.empty_next")} />}
      {step === "loading" && (items.length === 0 || cursor !== null) && <Busy text={t("why.loading")} />}
      {step === "failed" && <Failed text={problem || t("why.failed")} onRetry={() => void read(null)} />}
      {cursor !== null && step === "ready" && (
        <button type="button" class="button quiet wide" onClick={() => void read(cursor)}>
          {t("why.more")}
        </button>
      )}
    </aside>
  );
}

function DecisionItem({ decision, unfolded }: { decision: Decision; unfolded: boolean }) {
  const words = useWords();
  const { t } = words;
  const now = useNow(60_000);
  const at = Date.parse(decision.at);
  const rule = [
    decision.rule && t("why.rule", { rule: words.word("rule", decision.rule) }),
    t("why.settings", { version: String(decision.settings_version) }),
    decision.engine !== null && t("why.engine", { version: String(decision.engine) }),
  ].filter((part) => part !== false && part !== "");
  return (
    <li class="decision">
      <time class="when" dateTime={decision.at} title={words.dateTime(at)}>
        {words.exact(at, now)}
      </time>
      <p class="decision-text">
        {decision.text}
        {decision.until !== null && <> {t("why.until", { time: words.exact(Date.parse(decision.until), now) })}</>}
      </p>
      {decision.offers.length > 0 && (
        <ul class="decision-offers">
          {decision.offers.map((offer) => (
            <li key={offer.operator_id}>
              <bdi>{offer.name}</bdi>: {offer.text}
              {offer.ended_at !== null && ` · ${words.exact(Date.parse(offer.ended_at), now)}`}
            </li>
          ))}
        </ul>
      )}
      {decision.seats.length > 0 && (
        <details open={unfolded}>
          <summary>{t("why.seats", { count: decision.seats.length })}</summary>
          <ul class="seats">
            {decision.seats.map((seat) => {
              const chosen = decision.chosen.includes(seat.operator_id);
              return (
                <li key={seat.operator_id} class={chosen ? "seat chosen" : "seat"}>
                  <Icon name={chosen ? "check" : "dash"} />
                  <span>
                    <bdi class="seat-name">{seat.name}</bdi>
                    {chosen && <span class="evidence">{t("why.chosen")}</span>}
                    <span class="seat-why">
                      {seat.text}
                      {seat.until !== null && <> {t("why.until", { time: words.exact(Date.parse(seat.until), now) })}</>}
                    </span>
                  </span>
                </li>
              );
            })}
          </ul>
        </details>
      )}
      {rule.length > 0 && <p class="hint">{rule.join(" · ")}</p>}
    </li>
  );
}
