import { useState } from "preact/hooks";
import { fieldOf, timeOf } from "../snooze";
import { useNow, useWords } from "./context";

interface TimeChoiceProps {
  choices: readonly { text: string; at: number }[];
  /** As far ahead as the server goes. */
  days: number;
  /** What is said of a time that is no choice. */
  refused: string;
  submit: string;
  busy?: boolean;
  /** What the server said of the last one. */
  problem?: string;
  onChoose: (at: number) => void;
  onClose: () => void;
}

/** When? One of some times by a click, or a day and time of one's own. */
export function TimeChoice({ choices, days, refused, submit, busy = false, problem = "", onChoose, onClose }: TimeChoiceProps) {
  const words = useWords();
  const { t } = words;
  const now = useNow(30_000);
  const [field, setField] = useState("");
  const [bad, setBad] = useState(false);
  const said = bad ? refused : problem;

  function choose(at: number | null): void {
    setBad(at === null);
    if (at !== null) onChoose(at);
  }

  return (
    <>
      <ul class="choices">
        {choices.map(({ text, at }) => (
          <li key={text}>
            <button type="button" class="button wide" disabled={busy} onClick={() => choose(at)}>
              <span>{text}</span>
              <time dateTime={new Date(at).toISOString()}>{words.weekdayTime(at, now)}</time>
            </button>
          </li>
        ))}
      </ul>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          choose(timeOf(field, now, days));
        }}
      >
        <div class="field">
          <label for="own-time">{t("snooze.own")}</label>
          <div class="with-button">
            <input
              id="own-time"
              type="datetime-local"
              required
              value={field}
              min={fieldOf(now)}
              aria-describedby="own-time-zone"
              onInput={(event) => {
                setField(event.currentTarget.value);
                setBad(false);
              }}
            />
            <button type="submit" class="button" disabled={busy}>
              {submit}
            </button>
          </div>
          <span id="own-time-zone" class="hint">
            {t("snooze.zone", { zone: Intl.DateTimeFormat().resolvedOptions().timeZone })}
          </span>
        </div>
        {said !== "" && (
          <p class="problem" role="alert">
            {said}
          </p>
        )}
        <div class="actions">
          <button type="button" class="button" onClick={onClose}>
            {t("common.cancel")}
          </button>
        </div>
      </form>
    </>
  );
}
