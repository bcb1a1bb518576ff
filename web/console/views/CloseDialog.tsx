import { useState } from "preact/hooks";
import { useWords } from "./context";
import { Dialog } from "./Dialog";

const OUTCOME_MAX = 100;

interface CloseDialogProps {
  /** How many are closed. */
  count?: number;
  /** It is a call; `out`: whose customer is not on the line. */
  call?: boolean | "out";
  onOutcome: (outcome: string) => void;
  onClose: () => void;
}

export function CloseDialog({ count = 1, call = false, onOutcome, onClose }: CloseDialogProps) {
  const { t } = useWords();
  const [outcome, setOutcome] = useState("");

  function submit(event: Event): void {
    event.preventDefault();
    onOutcome(outcome.trim());
    onClose();
  }

  return (
    <Dialog title={count === 1 ? t("close.title") : t("bulk.close_title", { count })} onClose={onClose}>
      <form onSubmit={submit}>
        <p>{t(count > 1 ? "close.text_many" : call === "out" ? "close.text_call_out" : call ? "close.text_call" : "close.text")}</p>
        <label class="field">
          <span>{t("close.outcome")}</span>
          <input
            value={outcome}
            maxLength={OUTCOME_MAX}
            placeholder={t("close.outcome_hint")}
            onInput={(event) => setOutcome(event.currentTarget.value)}
          />
        </label>
        <div class="actions">
          <button type="button" class="button" onClick={onClose}>
            {t("common.cancel")}
          </button>
          <button type="submit" class="button primary">
            {count === 1 ? t("close.submit") : t("bulk.close_submit", { count })}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
