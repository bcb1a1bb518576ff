import { useState } from "preact/hooks";
import { fieldOf, presets, timeOf } from "../snooze";
import { useDesk, useNow, useWords } from "./context";
import { Dialog } from "./Dialog";

export function SnoozeDialog({ session, onClose }: { session: string; onClose: () => void }) {
  const words = useWords();
  const { t } = words;
  const { connection } = useDesk();
  const now = useNow(30_000);
  const [field, setField] = useState("");
  const [problem, setProblem] = useState("");

  function snooze(until: number): void {
    connection.deed(session, "snooze", { until });
    onClose();
  }

  return (
    <Dialog title={t("snooze.title")} onClose={onClose}>
      <p>{t("snooze.text")}</p>
      <ul class="choices">
        {presets(now).map(({ preset, at }) => (
          <li key={preset}>
            <button type="button" class="button wide" onClick={() => snooze(at)}>
              <span>{t(`snooze.${preset}`)}</span>
              <time dateTime={new Date(at).toISOString()}>{words.weekdayTime(at, now)}</time>
            </button>
          </li>
        ))}
      </ul>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const at = timeOf(field, now);
          if (at === null) setProblem(t("refused.past"));
          else snooze(at);
        }}
      >
        <div class="field">
          <label for="snooze-own">{t("snooze.own")}</label>
          <div class="with-button">
            <input
              id="snooze-own"
              type="datetime-local"
              required
              value={field}
              min={fieldOf(now)}
              aria-describedby="snooze-zone"
              onInput={(event) => {
                setField(event.currentTarget.value);
                setProblem("");
              }}
            />
            <button type="submit" class="button">
              {t("snooze.submit")}
            </button>
          </div>
          <span id="snooze-zone" class="hint">
            {t("snooze.zone", { zone: Intl.DateTimeFormat().resolvedOptions().timeZone })}
          </span>
        </div>
        {problem !== "" && (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
        <div class="actions">
          <button type="button" class="button" onClick={onClose}>
            {t("common.cancel")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
