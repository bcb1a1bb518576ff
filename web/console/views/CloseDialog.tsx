import { useState } from "preact/hooks";
import { useDesk, useWords } from "./context";
import { Dialog } from "./Dialog";

const OUTCOME_MAX = 100;

export function CloseDialog({ session, onClose }: { session: string; onClose: () => void }) {
  const { t } = useWords();
  const { connection } = useDesk();
  const [outcome, setOutcome] = useState("");

  function submit(event: Event): void {
    event.preventDefault();
    connection.deed(session, "close", { outcome: outcome.trim() });
    onClose();
  }

  return (
    <Dialog title={t("close.title")} onClose={onClose}>
      <form onSubmit={submit}>
        <p>{t("close.text")}</p>
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
            {t("close.submit")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
