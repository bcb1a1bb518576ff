import type { Card, Contact } from "../../shared/frames/operator";
import {
  asksMe,
  consulted,
  hearsTalk,
  heldSince,
  type How,
  isCalling,
  isHeldBy,
  isOutgoing,
  isTalked,
  nameOf,
  standsSince,
} from "../store";
import { cleanName, phoneText } from "../text";
import { may } from "../verbs";
import { Icon, Lasts, Name } from "./bits";
import { useDesk, useNow, useOff, useWords } from "./context";
import type { Question } from "./ThreadView";

const HOWS: readonly How[] = ["listen", "whisper", "barge"];
/** Stages of a lead with which nothing is to be done any more. */
const SETTLED: ReadonlySet<string> = new Set(["good", "converted", "junk"]);
/** The contact's card names no more of them. */
const EARLIER_MAX = 10;

/** In the midst of a talk: what its operator does with it, what whoever is asked is told, and the ways to hear it. */
export function TalkBar({ card, onAsk }: { card: Card; onAsk: (question: Question, card: Card) => void }) {
  const { state } = useDesk();
  if (!isTalked(card)) return null;
  if (isHeldBy(card, state.me)) return <Talking card={card} onAsk={onAsk} />;
  if (asksMe(card, state.me)) return <Asked card={card} />;
  return <Hearing card={card} />;
}

function useName(): (operator: string) => string {
  const { t } = useWords();
  const { state } = useDesk();
  return (operator) => cleanName(nameOf(state, operator)) || t("thread.nobody");
}

/** The buttons keep their places whatever they do just now: the focus stays where it was. */
function Talking({ card, onAsk }: { card: Card; onAsk: (question: Question, card: Card) => void }) {
  const { t } = useWords();
  const { state, connection } = useDesk();
  const busy = useOff(card).off;
  const name = useName();
  const calling = isCalling(card);
  const off = busy || calling;
  const held = heldSince(card);
  const colleague = consulted(card);
  const lifted = card.talk?.lifted === true;
  const waits = colleague !== "" && !lifted;
  /** The second half of a double click would undo the first. A button that cannot be pressed just now keeps the focus. */
  const press = (does: () => void) => (event: MouseEvent) => {
    if (!off && event.detail < 2) does();
  };
  const alone = calling ? t("talk.calling") : held > 0 ? t("talk.held") : "";
  const stands = colleague === "" ? alone : t(lifted ? "talk.with" : "talk.asking", { name: name(colleague) });
  const since = calling ? standsSince(card) : held;
  return (
    <div class={since > 0 ? "talk held" : "talk"} role="group" aria-label={t("talk.label")}>
      {/* It is said when it changes, so it is there before. */}
      <p class={since > 0 ? "talk-stands" : "unseen"}>
        {since > 0 && <Icon name={calling ? "call_out" : colleague === "" ? "pause" : "people"} />}
        <bdi role="status">{stands}</bdi>
        {since > 0 && <Lasts from={since} to={null} />}
      </p>
      <div class="talk-buttons">
        <button
          type="button"
          class={held > 0 && !lifted ? "button primary" : "button"}
          aria-disabled={off}
          aria-keyshortcuts="Alt+H"
          title="Alt+H"
          onClick={press(() => connection.deed(card.session, held > 0 ? "resume" : "hold"))}
        >
          <Icon name={held > 0 ? "phone" : "pause"} />
          {t(held === 0 ? "talk.hold" : colleague === "" ? "talk.resume" : "talk.back")}
        </button>
        <button
          type="button"
          class={lifted ? "button primary" : "button"}
          aria-disabled={off || waits}
          onClick={press(() => {
            if (colleague === "") onAsk("consult", card);
            else if (lifted) connection.deed(card.session, "transfer", { operator: colleague });
          })}
        >
          <Icon name={colleague === "" ? "people" : "check"} />
          {t(colleague === "" ? "talk.consult" : "talk.hand_over")}
        </button>
        {(calling || may("transfer", card, state.me)) && (
          <button
            type="button"
            class="button"
            aria-disabled={off}
            aria-keyshortcuts="Alt+R"
            title="Alt+R"
            onClick={press(() => onAsk("transfer", card))}
          >
            <Icon name="arrow" />
            {t("verb.transfer_to")}
          </button>
        )}
      </div>
    </div>
  );
}

/** A colleague asks me about it. */
function Asked({ card }: { card: Card }) {
  const { t } = useWords();
  const name = useName()(card.operator ?? "");
  const lifted = card.talk?.lifted === true;
  return (
    <div class="talk held">
      <p class="talk-stands">
        <Icon name="phone" />
        <bdi role="status">{t(lifted ? "talk.asks_lifted" : "talk.asks", { name })}</bdi>
        <Lasts from={heldSince(card)} to={null} />
      </p>
    </div>
  );
}

/** A supervisor beside a colleague's talk. */
function Hearing({ card }: { card: Card }) {
  const { t } = useWords();
  const { state } = useDesk();
  const { me } = state;
  const name = useName();
  const mine = hearsTalk(card, me);
  const others = (card.talk?.listeners ?? []).filter((one) => one !== me?.id);
  if (!mine && others.length === 0 && !may("listen", card, me)) return null;
  const rings = me !== null && card.talk?.listens === me.id;
  return (
    <div class="talk" role="group" aria-label={t("talk.hear_label")}>
      <p class={mine ? "talk-stands" : "unseen"}>
        {mine && <Icon name="phone" />}
        <span role="status">{mine ? t(rings ? "talk.listen_rings" : "talk.hears") : ""}</span>
      </p>
      {may("listen", card, me) && <ListenButtons card={card} />}
      <p class="hint">{t("talk.keys")}</p>
      {others.length > 0 && (
        <p class="chip">
          <Icon name="people" />
          <bdi>{t("talk.listeners", { names: others.map(name).join(", ") })}</bdi>
        </p>
      )}
    </div>
  );
}

/** My phone rings, and then I hear it; with *small* ones in a list. */
export function ListenButtons({ card, small = false }: { card: Card; small?: boolean }) {
  const { t } = useWords();
  const { connection } = useDesk();
  const { off } = useOff(card);
  return (
    <div class="talk-buttons">
      {HOWS.map((how) => (
        <button
          key={how}
          type="button"
          class={small ? "button small" : "button"}
          disabled={off}
          title={t(`talk.${how}_hint`)}
          onClick={() => connection.deed(card.session, "listen", { how })}
        >
          {t(`talk.${how}`)}
        </button>
      ))}
    </div>
  );
}

/** Who calls, before the phone is lifted. */
export function Brief({ card, contact }: { card: Card; contact: Contact | null }) {
  const words = useWords();
  const { t } = words;
  const now = useNow(60_000);
  const number = phoneText(card.talk?.number ?? "") || t("talk.withheld");
  const earlier = contact?.earlier ?? [];
  const leads = (contact?.leads ?? []).filter((lead) => !SETTLED.has(lead.stage ?? ""));
  const last = earlier[0];
  return (
    <dl class="brief" aria-label={t(isOutgoing(card) ? "talk.brief_out" : "talk.brief")}>
      <div>
        <dt>{t(isOutgoing(card) ? "talk.callee" : "talk.caller")}</dt>
        <dd>
          <Name of={card.contact_name} /> · <bdi>{number}</bdi>
        </dd>
      </div>
      {contact !== null && (
        <>
          <div>
            <dt>{t("contact.earlier")}</dt>
            <dd>
              {last === undefined ? (
                t("contact.no_earlier")
              ) : (
                <bdi>
                  {t("talk.earlier", {
                    count: earlier.length >= EARLIER_MAX ? `${EARLIER_MAX}+` : words.number(earlier.length),
                    date: words.short(last.opened, now),
                    line: last.line_name,
                  })}
                </bdi>
              )}
            </dd>
          </div>
          <div>
            <dt>{t("talk.leads")}</dt>
            <dd>{words.number(leads.length)}</dd>
          </div>
        </>
      )}
    </dl>
  );
}
