import { hasWords, type Deed } from "../store";
import { Icon, type IconName } from "./bits";
import { useDesk, useWords } from "./context";

/** How each fate of an outgoing message looks (broker.domain.Fate); incoming ones and notes have none. */
const LOOKS: Readonly<Record<string, { icon: IconName; tone: string }>> = {
  queued: { icon: "clock", tone: "quiet" },
  sending: { icon: "clock", tone: "quiet" },
  sent: { icon: "check", tone: "quiet" },
  delivered: { icon: "checks", tone: "quiet" },
  read: { icon: "checks", tone: "good" },
  failed: { icon: "warning", tone: "bad" },
  unconfirmed: { icon: "question", tone: "doubt" },
  cancelled: { icon: "cross", tone: "quiet" },
};

/** Those that an operator must not have to guess from a drawing. */
const IN_WORDS = new Set(["failed", "unconfirmed", "cancelled"]);

/** *changed*: it was edited or deleted since; a *problem* is then why its customer still has it as it was. */
export function FateMark({ fate, problem, changed = "" }: { fate: string; problem: string; changed?: "" | "edited" | "deleted" }) {
  const words = useWords();
  const look = LOOKS[fate];
  if (look === undefined) return null;
  const label = words.word("fate", fate);
  if (!IN_WORDS.has(fate)) {
    return (
      <>
        <span class={`mark ${look.tone}`} data-fate={fate}>
          <Icon name={look.icon} label={label} />
        </span>
        {problem !== "" && changed !== "" && (
          <span class="mark bad">
            <Icon name="warning" />
            {words.t(changed === "deleted" ? "fate.not_deleted" : "fate.not_edited", { problem })}
          </span>
        )}
      </>
    );
  }
  return (
    <span class={`mark ${look.tone}`} data-fate={fate}>
      <Icon name={look.icon} />
      {problem === "" ? label : `${label}: ${problem}`}
    </span>
  );
}

/** The operator's own words that the thread does not have yet. */
export function PendingMark({ deed }: { deed: Deed }) {
  const words = useWords();
  const { connection, state } = useDesk();
  if (!hasWords(deed)) return null;
  if (deed.state === "refused") {
    return (
      <span class="mark bad" data-fate="refused">
        <Icon name="warning" />
        <span>
          {words.t("fate.refused")}: {words.word("refused", deed.code, deed.problem || deed.code)}{" "}
          <button type="button" class="link" onClick={() => connection.again(deed.id)}>
            {words.t("fate.again")}
          </button>{" "}
          <button type="button" class="link" onClick={() => connection.discard(deed.id)}>
            {words.t("fate.discard")}
          </button>
        </span>
      </span>
    );
  }
  const label = words.t(deed.state === "accepted" ? "fate.queued" : state.link === "live" ? "fate.sending" : "fate.unsent");
  return (
    <span class="mark quiet" data-fate={deed.state === "accepted" ? "queued" : "unsent"}>
      <Icon name="clock" label={label} />
    </span>
  );
}

/** My change of a message, on its way or refused. */
export function ChangeMark({ deed }: { deed: Deed }) {
  const { t } = useWords();
  if (deed.state !== "refused") {
    return (
      <span class="meta">
        <span class="mark quiet" data-fate="changing" role="status">
          <Icon name="clock" />
          {t(deed.verb === "reword" ? "message.saving" : "message.taking_back")}
        </span>
      </span>
    );
  }
  return (
    <span class="change-refused">
      <span class="said" dir="auto">
        {deed.text}
      </span>
      <PendingMark deed={deed} />
    </span>
  );
}
