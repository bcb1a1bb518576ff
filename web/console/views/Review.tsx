import { useEffect, useId, useState } from "preact/hooks";
import { detailOf, type Review as Kept, review as loadReview, setReview } from "../api";
import { Busy, Failed, Icon } from "./bits";
import { useWords } from "./context";

const STARS = [1, 2, 3, 4, 5] as const;
const COMMENT_MAX = 2_000;

/** What a supervisor thinks of how a closed session went: folded while it is only read. */
export function Review({ session }: { session: string }) {
  const { t } = useWords();
  const [kept, setKept] = useState<Kept | null>(null);
  const [step, setStep] = useState<"loading" | "ready" | "failed">("loading");

  async function load(): Promise<void> {
    setStep("loading");
    try {
      setKept(await loadReview(session));
      setStep("ready");
    } catch {
      setStep("failed");
    }
  }
  useEffect(() => void load(), []);

  if (step === "loading") return <Busy text={t("review.loading")} />;
  if (step === "failed") return <Failed text={t("review.failed")} onRetry={() => void load()} class="review" />;
  return (
    <details class="review">
      <summary>
        {kept === null ? (
          t("review.none")
        ) : (
          <>
            <Stars of={kept.stars} /> {t("review.by", { name: kept.by_name })}
          </>
        )}
      </summary>
      <ReviewForm session={session} kept={kept} onKept={setKept} />
    </details>
  );
}

function Stars({ of }: { of: number }) {
  const { t } = useWords();
  return (
    <span class="stars" role="img" aria-label={t("review.stars", { count: of })}>
      {STARS.map((star) => (
        <Icon key={star} name={star <= of ? "star" : "star_empty"} />
      ))}
    </span>
  );
}

function ReviewForm({ session, kept, onKept }: { session: string; kept: Kept | null; onKept: (kept: Kept) => void }) {
  const words = useWords();
  const { t } = words;
  const name = useId();
  const [stars, setStars] = useState(kept?.stars ?? 0);
  const [comment, setComment] = useState(kept?.comment ?? "");
  const [step, setStep] = useState<"writing" | "busy" | "done">("writing");
  const [problem, setProblem] = useState("");

  async function save(): Promise<void> {
    setStep("busy");
    setProblem("");
    try {
      onKept(await setReview(session, stars, comment.trim()));
      setStep("done");
    } catch (error) {
      setStep("writing");
      setProblem(detailOf(error) || t("app.unreachable"));
    }
  }

  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
    >
      {/* Radio buttons: the arrows choose, and a screen reader says which of five. */}
      <fieldset class="star-choice">
        <legend>{t("review.question")}</legend>
        {STARS.map((star) => (
          <label key={star} class={star <= stars ? "on" : ""} title={t("review.stars", { count: star })}>
            <input
              type="radio"
              class="unseen"
              name={name}
              required
              checked={star === stars}
              aria-label={t("review.stars", { count: star })}
              onChange={() => {
                setStars(star);
                setStep("writing");
              }}
            />
            <Icon name={star <= stars ? "star" : "star_empty"} />
          </label>
        ))}
      </fieldset>
      <label class="field">
        <span>{t("review.comment")}</span>
        <textarea
          rows={2}
          dir="auto"
          maxLength={COMMENT_MAX}
          value={comment}
          onInput={(event) => {
            setComment(event.currentTarget.value);
            setStep("writing");
          }}
        />
      </label>
      {problem !== "" && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      <div class="actions">
        <span class="hint" role="status">
          {step === "done" ? t("review.done") : kept === null ? "" : words.dateTime(Date.parse(kept.at))}
        </span>
        <button type="submit" class="button primary" disabled={stars === 0 || step === "busy"}>
          {t("review.save")}
        </button>
      </div>
    </form>
  );
}
