import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { type Call, callOf, soundOf } from "../api";
import { counted, spansOf } from "../calls";
import type { Card } from "../../shared/frames/operator";
import { isMissed, isOutgoing, promisedAt, standingOf } from "../store";
import { cleanName, phoneText } from "../text";
import { Failed, Icon, Lasts } from "./bits";
import { Planned, SettleButton, triesOf } from "./calling";
import { useNow, useWords } from "./context";

/** A session that is closed while they talk, or before the recording is there, says nothing when that is over. */
const LOOK_AGAIN_MS = 5_000;
/** So long after a talk it may turn out that it was not recorded. */
const SETTLES_MS = 30_000;

/** What is known of a call, above its thread; read anew when the session has news. Of what is no call there is nothing. */
export function CallPanel({ card }: { card: Card }) {
  const words = useWords();
  const { t } = words;
  const [call, setCall] = useState<Call | null>(null);
  const [failed, setFailed] = useState(false);
  /** Answers to an older question are not shown. */
  const asked = useRef(0);
  const closed = card.closed ?? 0;

  async function read(): Promise<void> {
    const mine = (asked.current += 1);
    try {
      const known = await callOf(card.session);
      if (mine !== asked.current) return;
      setCall(known);
      setFailed(false);
    } catch {
      // What was read before still stands.
      if (mine === asked.current) setFailed(true);
    }
  }
  useEffect(() => {
    void read();
    return () => {
      asked.current += 1;
    };
  }, [card.session, card.status, card.operator, card.changed]);

  const now = useNow(LOOK_AGAIN_MS);
  const talkEnded = call?.talk_ended_at ?? null;
  const ended = talkEnded !== null && now - Date.parse(talkEnded) >= SETTLES_MS;
  const talked = (call?.talk_at ?? null) !== null;
  const unsettled = card.status === "closed" && talked && !ended;
  useEffect(() => {
    if (!unsettled) return undefined;
    const timer = setInterval(() => void read(), LOOK_AGAIN_MS);
    return () => clearInterval(timer);
  }, [unsettled, card.session]);

  if (call === null) return failed ? <Failed text={t("call.failed")} onRetry={() => void read()} class="call" /> : null;
  const { waited, calling, talked: talk } = spansOf(call, closed);
  const stands = standingOf(card);
  const came = triesOf(card, words) || (stands === "not_reached" ? t("standing.not_reached") : "");
  return (
    <section class="call" aria-label={t("call.label")}>
      {isMissed(card) && (
        <p class="missed">
          <Icon name="missed" /> {t("standing.missed")}
          <Planned card={card} />
          <SettleButton card={card} />
        </p>
      )}
      {isOutgoing(card) && (
        <p class={stands === "not_reached" ? "missed" : "call-kind"}>
          <Icon name="call_out" />
          <span>
            {t("call.outgoing")}
            {came !== "" && ` · ${came}`}
          </span>
        </p>
      )}
      {stands === "callback" && (
        <p class="call-kind">
          <Icon name="call_out" /> {t("standing.callback")}
        </p>
      )}
      <dl>
        <Fact name={t("call.number")}>
          <bdi>{phoneText(call.number) || t("call.withheld")}</bdi>
        </Fact>
        {promisedAt(card) > 0 && (
          <Fact name={t("standing.promised")}>
            <Due at={promisedAt(card)} />
          </Fact>
        )}
        {waited !== null && (
          <Fact name={t(waited.to === null ? "call.waits" : "call.waited")}>
            <Lasts {...waited} />
          </Fact>
        )}
        {calling !== null && (
          <Fact name={t("standing.calling")}>
            <Lasts {...calling} />
          </Fact>
        )}
        {talk !== null && (
          <Fact name={t(talk.to === null ? "call.talks" : "call.talked")}>
            <Lasts {...talk} />
          </Fact>
        )}
        {card.talk?.forward_to && (
          <Fact name={t("call.forward_to")}>
            <bdi>{phoneText(card.talk.forward_to)}</bdi>
          </Fact>
        )}
        {call.stars > 0 && <Fact name={t("call.rating")}>{t("call.stars", { count: call.stars })}</Fact>}
      </dl>
      {call.recording && <Sound text={t("call.recording")} from={soundOf(card.session, "recording")} />}
      {call.voicemail && (
        <Sound text={t("call.voicemail", { time: counted(call.voicemail_seconds * 1000) })} from={soundOf(card.session, "voicemail")} />
      )}
      {call.problem !== "" && (
        <p class="call-problem">
          <Icon name="warning" label={t("call.problem")} />
          <span dir="auto">{cleanName(call.problem)}</span>
        </p>
      )}
    </section>
  );
}

/** A time to come; for how long, when it has passed. */
function Due({ at }: { at: number }) {
  const words = useWords();
  const now = useNow(1000);
  return at > now ? <time dateTime={new Date(at).toISOString()}>{words.weekdayTime(at, now)}</time> : <Lasts from={at} to={null} />;
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Sound({ text, from }: { text: string; from: string }) {
  const id = useId();
  return (
    <div class="call-sound">
      <span id={id}>{text}</span>
      {/* Nothing is asked for before somebody wants to hear it. */}
      <audio controls preload="none" src={from} aria-labelledby={id} />
    </div>
  );
}
