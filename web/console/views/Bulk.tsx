import { useEffect, useRef, useState } from "preact/hooks";
import type { Card } from "../../shared/frames/operator";
import { detailOf } from "../api";
import { type BulkResult, doInBulk } from "../bulk";
import { newId } from "../ids";
import { supervises } from "../verbs";
import { Busy, Failed, Name } from "./bits";
import { CloseDialog } from "./CloseDialog";
import { useDesk, useWords } from "./context";
import { Dialog } from "./Dialog";
import { type Chosen, TargetDialog } from "./TargetDialog";

interface BulkBarProps {
  /** What the list shows. */
  cards: readonly Card[];
  picked: ReadonlySet<string>;
  onPick: (picked: ReadonlySet<string>) => void;
  onDone: () => void;
}

type What = { verb: "close"; outcome: string } | ({ verb: "assign" } & Chosen);

/** A closed session can be neither closed nor assigned. */
export function mayPick(card: Card): boolean {
  return card.status !== "closed";
}

/** Below a list in which several sessions are picked: how many, and what to do with them. */
export function BulkBar({ cards, picked, onPick, onDone }: BulkBarProps) {
  const { t } = useWords();
  const { state } = useDesk();
  const [asking, setAsking] = useState<"close" | "assign" | null>(null);
  const [doing, setDoing] = useState<What | null>(null);
  const open = cards.filter(mayPick);
  const chosen = open.filter((card) => picked.has(card.session));
  const every = chosen.length === open.length && open.length > 0;
  const off = chosen.length === 0 || state.link !== "live" || !supervises(state.me);
  return (
    <div class="bulk" role="toolbar" aria-label={t("bulk.label")}>
      <label class="check">
        <input
          type="checkbox"
          checked={every}
          indeterminate={chosen.length > 0 && !every}
          disabled={open.length === 0}
          onChange={() => onPick(new Set(every ? [] : open.map((card) => card.session)))}
        />
        <span aria-live="polite">{chosen.length === 0 ? t("bulk.all") : t("bulk.picked", { count: chosen.length })}</span>
      </label>
      <span class="bulk-buttons">
        <button type="button" class="button small" disabled={off} onClick={() => setAsking("assign")}>
          {t("bulk.assign")}
        </button>
        <button type="button" class="button small" disabled={off} onClick={() => setAsking("close")}>
          {t("bulk.close")}
        </button>
        <button type="button" class="button quiet small" onClick={onDone}>
          {t("bulk.done")}
        </button>
      </span>
      {asking === "close" && (
        <CloseDialog count={chosen.length} onClose={() => setAsking(null)} onOutcome={(outcome) => setDoing({ verb: "close", outcome })} />
      )}
      {asking === "assign" && (
        <TargetDialog
          passing="assign"
          card={null}
          title={t("bulk.assign_title", { count: chosen.length })}
          onClose={() => setAsking(null)}
          onChoose={(to) => setDoing({ verb: "assign", ...to })}
        />
      )}
      {doing !== null && (
        <BulkRun
          what={doing}
          cards={chosen}
          onDone={(result) => {
            // Those that could not be done stay picked: the next attempt is at them.
            onPick(new Set(result === null ? picked : result.failed.map((one) => one.session_id)));
            setDoing(null);
          }}
        />
      )}
    </div>
  );
}

/** Does it, and says what came of it. */
function BulkRun({ what, cards, onDone }: { what: What; cards: readonly Card[]; onDone: (result: BulkResult | null) => void }) {
  const words = useWords();
  const { t } = words;
  // As they were when it began: news take some from the list meanwhile.
  const these = useRef(cards).current;
  const id = useRef(newId()).current;
  const [result, setResult] = useState<BulkResult | null>(null);
  const [problem, setProblem] = useState<string | null>(null);

  async function run(): Promise<void> {
    setProblem(null);
    const { operator, line } = what.verb === "assign" ? what : {};
    try {
      setResult(
        await doInBulk({
          verb: what.verb,
          sessions: these.map((card) => card.session),
          ...(what.verb === "close" && what.outcome !== "" ? { outcome: what.outcome } : {}),
          ...(operator === undefined ? {} : { operator_id: operator }),
          ...(line === undefined ? {} : { line_id: line }),
          id,
        }),
      );
    } catch (error) {
      setProblem(detailOf(error) || t("app.unreachable"));
    }
  }
  useEffect(() => void run(), []);

  return (
    <Dialog title={t(`bulk.${what.verb}_title`, { count: these.length })} onClose={() => onDone(result)}>
      {problem !== null && <Failed text={problem} onRetry={() => void run()} />}
      {problem === null && result === null && <Busy text={t("bulk.busy")} />}
      {result !== null && (
        <div role="status" class="bulk-result">
          <p>{t(`bulk.${what.verb}_result`, { count: result.accepted, all: these.length })}</p>
          {result.failed.length > 0 && (
            <>
              <p>{t("bulk.failed", { count: result.failed.length })}</p>
              <ul class="small-list">
                {result.failed.map((one) => (
                  <li key={one.session_id}>
                    <Name of={these.find((card) => card.session === one.session_id)?.contact_name ?? ""} />
                    <p class="wrap">{words.word("refused", one.code, one.text || one.code)}</p>
                  </li>
                ))}
              </ul>
            </>
          )}
        </div>
      )}
      <div class="actions">
        <button type="button" class="button primary" disabled={problem === null && result === null} onClick={() => onDone(result)}>
          {t("common.close")}
        </button>
      </div>
    </Dialog>
  );
}
