import { useEffect, useRef, useState } from "preact/hooks";
import { counted } from "../calls";
import { cleanName } from "../text";
import { Busy, Empty, Icon } from "../views/bits";
import { CopyButton } from "../views/CopyButton";
import { useDesk, useNow, useWords } from "../views/context";
import { useReading } from "../views/reading";
import { DeleteDialog } from "./DeleteDialog";
import { type Player, usePlayer } from "./player";
import { type Sound, sounds as readSounds } from "./rest";
import { besideOf, type Shelves, shelvesOf } from "./shelves";
import { SoundDialog } from "./SoundDialog";
import { useSoundTexts } from "./texts";
import "./sounds.css";

/** Lines begin and cease to use a sound elsewhere. */
const EVERY_MS = 15_000;
/** Fewer are found by looking. */
const FOUND_BY_EYE = 8;
/** What a line's settings may say of it, in the order in which a caller meets them. */
const SETTINGS = ["greeting", "menu.sound", "outside_sound", "music", "voicemail_greeting", "callback_sound", "rating_sound"];

/** What was saved last, and what is said of it. */
interface Fresh {
  name: string;
  text: string;
}
const NOTHING_FRESH: Fresh = { name: "", text: "" };

type Asked = { what: "add"; file: File | null; several: boolean } | { what: "replace" | "delete"; name: string };

/** The prompts and the music that callers hear. */
export function SoundsPage({ onLoggedOut }: { onLoggedOut: () => void }) {
  const words = useWords();
  const { t } = useSoundTexts();
  const { connection } = useDesk();
  const [{ value, readAt, failed, problem }, renew] = useReading(readSounds, EVERY_MS, onLoggedOut);
  const [wanted, setWanted] = useState("");
  const [asked, setAsked] = useState<Asked | null>(null);
  const [fresh, setFresh] = useState(NOTHING_FRESH);
  const [said, setSaid] = useState("");
  const page = useRef<HTMLElement>(null);
  const player = usePlayer((name) => connection.tell(t("play_failed", { name })));
  const items = value?.items ?? [];
  const shelves = shelvesOf(items, wanted);

  function ask(question: Asked): void {
    player.stop();
    setAsked(question);
  }

  function add(file: File | null = null, several = false): void {
    if (value === null) return;
    if (value.left > 0) ask({ what: "add", file, several });
    else connection.tell(t("full"));
  }

  /** The focus goes to the row of *name*, or to the heading; after the dialog has tried to give it back. */
  function focusOn(name: string | null): void {
    setTimeout(() => {
      if (document.activeElement !== document.body) return;
      const row = name === null ? null : page.current?.querySelector<HTMLElement>(`[data-sound="${name}"] button`);
      (row ?? page.current?.querySelector("h1"))?.focus();
    }, 50);
  }

  function saved(sound: Sound, replaced: boolean): void {
    setAsked(null);
    setWanted("");
    const text = t(replaced ? "replaced" : "saved", { ref: sound.ref });
    setFresh({ name: sound.name, text });
    setSaid(text);
    renew();
  }

  function deleted(name: string): void {
    const next = besideOf(shelves, name);
    setAsked(null);
    setSaid(t("deleted", { name }));
    renew();
    focusOn(next);
  }

  // The new row is shown as soon as it is there.
  const there = items.find((sound) => sound.name === fresh.name)?.changed_at;
  useEffect(() => {
    if (there === undefined) return;
    page.current?.querySelector(`[data-sound="${fresh.name}"]`)?.scrollIntoView({ block: "nearest" });
    focusOn(fresh.name);
  }, [fresh, there]);

  const gone = asked !== null && asked.what !== "add" ? items.find((sound) => sound.name === asked.name) : undefined;
  return (
    <section
      ref={page}
      class="sounds"
      aria-labelledby="sounds-title"
      onDragOver={(event) => {
        if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
      }}
      onDrop={(event) => {
        const files = event.dataTransfer?.files;
        if (files === undefined || files.length === 0 || asked !== null) return;
        event.preventDefault();
        add(files[0], files.length > 1);
      }}
    >
      <header class="sounds-head">
        <div>
          <h1 id="sounds-title" tabIndex={-1}>
            {t("title")}
          </h1>
          <p class="hint">{t("about")}</p>
        </div>
        <p role="status" class={failed && value !== null ? "stale" : "unseen"}>
          {failed && value !== null && (
            <>
              <Icon name="warning" />
              {words.t("board.stale", { time: words.exact(readAt, Date.now()) })}
            </>
          )}
        </p>
        {/* Who sees the page sees it in the row. */}
        <p role="status" class="unseen">
          {said}
        </p>
        {items.length > 0 && (
          <button type="button" class="button primary" onClick={() => add()}>
            {t("add")}
          </button>
        )}
      </header>
      {value === null && !failed && <Busy text={t("loading")} />}
      {value === null && failed && (
        <Empty icon="warning" title={t("failed")} next={problem || words.t("app.unreachable_next")}>
          <button type="button" class="button" onClick={renew}>
            {words.t("app.retry")}
          </button>
        </Empty>
      )}
      {value !== null && items.length === 0 && (
        <Empty icon="sound" title={t("empty")} next={t("empty_prompt")}>
          <p>{t("empty_next")}</p>
          <code class="sound-example">greeting = &quot;our/welcome&quot;</code>
          <button type="button" class="button primary" onClick={() => add()}>
            {t("add")}
          </button>
        </Empty>
      )}
      {items.length > FOUND_BY_EYE && (
        <label class="field sounds-find">
          <span>{t("find")}</span>
          <input type="search" value={wanted} onInput={(event) => setWanted(event.currentTarget.value)} />
        </label>
      )}
      {value !== null && items.length > 0 && (
        <ShelvesOf shelves={shelves} all={wanted === ""} musicLeft={value.music_left} fresh={fresh} player={player} onAsk={ask} />
      )}
      {items.length > 0 && <How />}
      {asked?.what === "add" && value !== null && (
        <SoundDialog house={value} replaces={null} file={asked.file} several={asked.several} onClose={() => setAsked(null)} onSaved={saved} />
      )}
      {asked?.what === "replace" && value !== null && gone !== undefined && (
        <SoundDialog house={value} replaces={gone} file={null} several={false} onClose={() => setAsked(null)} onSaved={saved} />
      )}
      {asked?.what === "delete" && gone !== undefined && (
        <DeleteDialog
          sound={gone}
          onClose={() => setAsked(null)}
          onRefused={renew}
          onDeleted={() => deleted(gone.name)}
        />
      )}
    </section>
  );
}

interface ShelvesProps {
  shelves: Shelves;
  /** Nothing is looked for. */
  all: boolean;
  musicLeft: number;
  fresh: Fresh;
  player: Player;
  onAsk: (question: Asked) => void;
}

function ShelvesOf({ shelves, all, musicLeft, fresh, player, onAsk }: ShelvesProps) {
  const { t } = useSoundTexts();
  const { prompts, music } = shelves;
  if (prompts.length + music.length === 0) return <p class="quiet-line">{t("none_found")}</p>;
  const rows = (sounds: Sound[]) => (
    <ul class="sound-list">
      {sounds.map((sound) => (
        <SoundRow key={sound.name} sound={sound} fresh={sound.name === fresh.name ? fresh.text : ""} player={player} onAsk={onAsk} />
      ))}
    </ul>
  );
  return (
    <>
      {(all || prompts.length > 0) && (
        <section class="sound-shelf" aria-labelledby="prompts-title">
          <h2 id="prompts-title">{t("prompts")}</h2>
          {prompts.length > 0 ? rows(prompts) : <p class="quiet-line">{t("no_prompts")}</p>}
        </section>
      )}
      {(all || music.length > 0) && (
        <section class="sound-shelf" aria-labelledby="music-title">
          <h2 id="music-title">
            {t("music")} <small class="hint">{musicLeft > 0 ? t("music_left", { count: musicLeft }) : t("music_full")}</small>
          </h2>
          {music.length > 0 ? rows(music) : <p class="quiet-line">{t("no_music")}</p>}
        </section>
      )}
    </>
  );
}

interface RowProps {
  sound: Sound;
  /** What is said of it, because it was added or replaced just now. */
  fresh: string;
  player: Player;
  onAsk: (question: Asked) => void;
}

function SoundRow({ sound, fresh, player, onAsk }: RowProps) {
  const words = useWords();
  const { t, word } = useSoundTexts();
  const now = useNow(60_000);
  const { name, ref, uses } = sound;
  const plays = player.playing === name;
  const changed = Date.parse(sound.changed_at);
  return (
    <li class={fresh === "" ? "sound" : "sound fresh"} data-sound={name}>
      <button
        type="button"
        class={plays ? "button sound-play on" : "button sound-play"}
        aria-label={t(plays ? "stop" : "play", { name })}
        onClick={() => player.toggle(sound)}
      >
        <Icon name={plays ? "stop" : "play"} />
      </button>
      <div class="sound-names">
        <strong>{name}</strong>
        <span class="sound-ref">
          <code>{ref}</code>
          <CopyButton text={ref} label={t("copy", { ref })} done={t("copied", { ref })} failed={t("copy_failed", { ref })} />
        </span>
      </div>
      <span class="sound-length" title={t("length")}>
        <span class="unseen">{t("length")}: </span>
        {plays && <Played player={player} seconds={sound.seconds} />}
        {lengthOf(sound.seconds)}
      </span>
      <div class="sound-uses" title={t("uses")}>
        <span class="unseen">{t("uses")}: </span>
        {uses.length === 0 ? (
          <span class="hint">{t("unused")}</span>
        ) : (
          <ul>
            {uses.map((use) => (
              <li key={`${use.line_id} ${use.setting}`}>
                <bdi>{cleanName(use.line)}</bdi>: <span title={use.setting}>{word("setting", use.setting)}</span>
              </li>
            ))}
          </ul>
        )}
      </div>
      <div class="sound-foot">
        <time class="when" dateTime={sound.changed_at} title={t("changed", { time: words.dateTime(changed) })}>
          {words.short(changed, now)}
        </time>
        <div class="sound-buttons">
          <button type="button" class="button quiet small" aria-label={t("replace", { name })} onClick={() => onAsk({ what: "replace", name })}>
            {t("replace_short")}
          </button>
          {/* Of one that is used the question is why not. */}
          <button
            type="button"
            class={uses.length > 0 ? "button quiet small off" : "button quiet small danger"}
            aria-label={t("delete", { name })}
            title={uses.length > 0 ? t("used_title", { name }) : undefined}
            onClick={() => onAsk({ what: "delete", name })}
          >
            {t("delete_short")}
          </button>
        </div>
      </div>
      {fresh !== "" && <p class="sound-said">{fresh}</p>}
    </li>
  );
}

/** A prompt of a moment is not 0:00 long. */
function lengthOf(seconds: number): string {
  return counted(Math.max(1, Math.round(seconds)) * 1_000);
}

/** How far it is: a line along the row, and the time before the length. */
function Played({ player, seconds }: { player: Player; seconds: number }) {
  const at = player.useAt();
  return (
    <>
      <span class="sound-played" aria-hidden="true" style={{ width: `${Math.min(100, (100 * at) / Math.max(seconds, 0.1))}%` }} />
      <span aria-hidden="true">{counted(at * 1_000)} / </span>
    </>
  );
}

/** Which setting plays its sound when. */
function How() {
  const { t, word } = useSoundTexts();
  return (
    <details class="sounds-how">
      <summary>{t("how")}</summary>
      <p>{t("how_text")}</p>
      <dl>
        {SETTINGS.map((setting) => (
          <div key={setting}>
            <dt>
              <code>{setting}</code>
            </dt>
            <dd>{word("setting", `calls.${setting}`)}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}
