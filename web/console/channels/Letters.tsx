import { useEffect, useState } from "preact/hooks";
import { Failed, Icon } from "../views/bits";
import { useNow, useWords } from "../views/context";
import { useReading } from "../views/reading";
import { type Outcome, readAgain } from "./letters";
import { onNews } from "./news";
import { Part } from "./parts";
import { type Letter, lettersOf, rawOf, replay } from "./rest";
import { useChannelTexts } from "./texts";

/** They are few, and each reading looks through those of the whole house. */
const EVERY_MS = 300_000;

/** What came by a channel and was not understood: to be looked at, and to be read again by a version that can. */
export function Letters({ channel, onLoggedOut }: { channel: string; onLoggedOut: () => void }) {
  const words = useWords();
  const { t } = useChannelTexts();
  const [{ value, failed }, renew] = useReading(() => lettersOf(channel), EVERY_MS, onLoggedOut, channel);
  const [outcomes, setOutcomes] = useState<Readonly<Record<string, Outcome>>>({});
  const [reading, setReading] = useState<ReadonlySet<string>>(new Set());
  const [said, setSaid] = useState("");
  useEffect(() => onNews((about) => about === channel && renew()), [channel]);

  async function again(letters: readonly Letter[]): Promise<void> {
    if (reading.size > 0) return;
    setSaid("");
    setReading(new Set(letters.map((letter) => letter.id)));
    const { read, left } = await readAgain(letters, replay, (id, outcome) => {
      setOutcomes((before) => ({ ...before, [id]: outcome }));
    });
    setReading(new Set());
    setSaid([read > 0 ? t("letters_read", { count: read }) : "", left > 0 ? t("letters_left", { count: left }) : ""].join(" ").trim());
    renew();
  }

  // One that was read is gone, before the list has been read anew too.
  const items = (value?.items ?? []).filter((letter) => outcomes[letter.id]?.read !== true);
  const replayable = items.filter((letter) => letter.replayable);
  return (
    <Part id="letters-title" title={t("letters")}>
      <p class="hint">{t("letters_about")}</p>
      {value === null && failed && <Failed text={t("letters_failed")} onRetry={renew} />}
      {value !== null && items.length === 0 && <p class="quiet-line">{t("letters_none")}</p>}
      {items.length > 0 && (
        <ul class="letter-list">
          {items.map((letter) => (
            <LetterRow
              key={letter.id}
              letter={letter}
              outcome={outcomes[letter.id]}
              reading={reading.has(letter.id)}
              onAgain={() => void again([letter])}
            />
          ))}
        </ul>
      )}
      {value?.more === true && <p class="hint">{t("letters_older")}</p>}
      <div class="letters-foot">
        <p role="status" class="hint">
          {reading.size > 0 ? t("letters_reading") : said}
        </p>
        {replayable.length > 1 && (
          <button type="button" class="button" aria-disabled={reading.size > 0} onClick={() => void again(replayable)}>
            {t("letters_again")} <small class="hint">{words.number(replayable.length)}</small>
          </button>
        )}
      </div>
    </Part>
  );
}

interface LetterProps {
  letter: Letter;
  outcome: Outcome | undefined;
  reading: boolean;
  onAgain: () => void;
}

function LetterRow({ letter, outcome, reading, onAgain }: LetterProps) {
  const words = useWords();
  const { t } = useChannelTexts();
  const now = useNow(60_000);
  const at = Date.parse(letter.at);
  const time = words.exact(at, now);
  const problem = outcome === undefined || outcome.read ? "" : outcome.word === "" ? outcome.text : t(outcome.word);
  return (
    <li class="letter">
      <div class="letter-about">
        <p>{letter.reason}</p>
        <p class="hint">
          <time dateTime={letter.at} title={words.dateTime(at)}>
            {time}
          </time>{" "}
          · {words.size(letter.bytes)}
        </p>
        {problem !== "" && <p class="letter-problem">{problem}</p>}
      </div>
      <div class="letter-buttons">
        <a class="button quiet small" href={rawOf(letter.id)} download aria-label={t("letter_download_what", { time })}>
          <Icon name="download" />
          {t("letter_download")}
        </a>
        {letter.replayable && (
          <button type="button" class="button quiet small" aria-disabled={reading} aria-label={t("letter_again_what", { time })} onClick={onAgain}>
            {reading && <span class="spinner" aria-hidden="true" />}
            {t("letter_again")}
          </button>
        )}
      </div>
    </li>
  );
}
