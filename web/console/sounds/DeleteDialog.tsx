import { useState } from "preact/hooks";
import { Problem } from "../api";
import { useWords } from "../views/context";
import { Dialog } from "../views/Dialog";
import { deleteSound, type Sound } from "./rest";
import { useSoundTexts, whereSaid } from "./texts";

interface DeleteProps {
  sound: Sound;
  onClose: () => void;
  /** The server knows why not: what we know is old. */
  onRefused: () => void;
  onDeleted: () => void;
}

/** Delete it? Or, while a line uses it, why that cannot be. */
export function DeleteDialog({ sound, onClose, onRefused, onDeleted }: DeleteProps) {
  const words = useWords();
  const texts = useSoundTexts();
  const { t } = texts;
  const { name, uses } = sound;
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");

  async function submit(): Promise<void> {
    setBusy(true);
    setProblem("");
    try {
      await deleteSound(name);
      onDeleted();
    } catch (error) {
      setBusy(false);
      if (!(error instanceof Problem) || error.status === 0) setProblem(words.t("app.unreachable"));
      // Somebody else was faster.
      else if (error.status === 404) onDeleted();
      else {
        setProblem(error.detail || t("delete_failed"));
        if (error.status === 409) onRefused();
      }
    }
  }

  if (uses.length > 0) {
    return (
      <Dialog title={t("used_title", { name })} onClose={onClose}>
        <p>{t("used_text")}</p>
        <ul class="sound-where">
          {uses.map((use) => (
            <li key={`${use.line_id} ${use.setting}`}>
              <bdi>{whereSaid(texts, use)}</bdi> <code>{use.setting}</code>
            </li>
          ))}
        </ul>
        <p>{t("used_next")}</p>
        <div class="actions">
          <button type="button" class="button primary" onClick={onClose}>
            {words.t("common.close")}
          </button>
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog title={t("delete_title", { name })} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!busy) void submit();
        }}
      >
        <p>{t("delete_text")}</p>
        {problem !== "" && (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
        <div class="actions">
          <button type="button" class="button" onClick={onClose}>
            {words.t("common.cancel")}
          </button>
          <button type="submit" class="button danger" disabled={busy}>
            {t(busy ? "delete_busy" : "delete_submit")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
