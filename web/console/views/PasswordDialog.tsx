import { useState } from "preact/hooks";
import { changePassword, Problem } from "../api";
import { useWords } from "./context";
import { Dialog } from "./Dialog";

/** *login* stands in a field that nobody sees, for password keepers. */
export function PasswordDialog({ login, onClose, onChanged }: { login: string; onClose: () => void; onChanged: () => void }) {
  const { t, word } = useWords();
  const [current, setCurrent] = useState("");
  const [wanted, setWanted] = useState("");
  const [again, setAgain] = useState("");
  const [problem, setProblem] = useState("");
  const [step, setStep] = useState<"asking" | "busy" | "done">("asking");

  async function change(): Promise<void> {
    if (wanted !== again) {
      setProblem(t("password.differ"));
      return;
    }
    setStep("busy");
    setProblem("");
    try {
      await changePassword(current, wanted);
      setStep("done");
      onChanged();
    } catch (error) {
      setStep("asking");
      setProblem(reason(error));
    }
  }

  function reason(error: unknown): string {
    if (!(error instanceof Problem) || error.detail === "") return t("password.failed");
    return word("password", error.code, error.detail);
  }

  if (step === "done") {
    return (
      <Dialog title={t("password.title")} onClose={onClose}>
        <p role="status">{t("password.done")}</p>
        <div class="actions">
          <button type="button" class="button primary" onClick={onClose}>
            {t("common.close")}
          </button>
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog title={t("password.title")} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void change();
        }}
      >
        <input class="unseen" type="text" name="username" autocomplete="username" value={login} readOnly tabIndex={-1} aria-hidden="true" />
        <Password label={t("password.current")} value={current} onInput={setCurrent} autocomplete="current-password" />
        <Password label={t("password.new")} value={wanted} onInput={setWanted} autocomplete="new-password" />
        <Password label={t("password.again")} value={again} onInput={setAgain} autocomplete="new-password" />
        {problem !== "" && (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
        <div class="actions">
          <button type="button" class="button" onClick={onClose}>
            {t("common.cancel")}
          </button>
          <button type="submit" class="button primary" disabled={step === "busy"}>
            {t(step === "busy" ? "password.busy" : "password.submit")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

interface PasswordProps {
  label: string;
  value: string;
  autocomplete: "current-password" | "new-password";
  onInput: (value: string) => void;
}

function Password({ label, value, autocomplete, onInput }: PasswordProps) {
  return (
    <label class="field">
      <span>{label}</span>
      <input type="password" required value={value} autocomplete={autocomplete} onInput={(event) => onInput(event.currentTarget.value)} />
    </label>
  );
}
