import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Problem } from "../api";
import { counted } from "../calls";
import { cleanName } from "../text";
import { Icon } from "../views/bits";
import { useWords } from "../views/context";
import { Dialog } from "../views/Dialog";
import { convert, type Converted, FILE_MB_MAX, Unfit } from "./convert";
import { fitName, isFit, nameOfFile, NAME_MAX } from "./names";
import { Recorder } from "./Recorder";
import { putSound, type Sound, type Sounds } from "./rest";
import { useSoundTexts, whereSaid } from "./texts";
import { isLonger, PROMPT_SECONDS_MAX, secondsMax } from "./wav";

type From = "file" | "microphone";
type Held =
  | { step: "nothing" }
  | { step: "converting" }
  | { step: "unfit"; text: string }
  | { step: "ready"; from: From; converted: Converted; address: string };
interface Wrong {
  where: "sound" | "name" | "kind" | "sending";
  text: string;
}

const NOTHING: Held = { step: "nothing" };

interface SoundDialogProps {
  /** What there is already. */
  house: Sounds;
  /** The one that becomes another; null: a new one is added. */
  replaces: Sound | null;
  /** What was dropped on the page. */
  file: File | null;
  /** More than one was. */
  several: boolean;
  onClose: () => void;
  onSaved: (sound: Sound, replaced: boolean) => void;
}

/** A sound from a file or by the microphone: converted here, heard as callers will hear it, and saved. */
export function SoundDialog({ house, replaces, file: dropped, several, onClose, onSaved }: SoundDialogProps) {
  const words = useWords();
  const texts = useSoundTexts();
  const { t } = texts;
  const [from, setFrom] = useState<From>("file");
  const [held, setHeld] = useState<Held>(NOTHING);
  const [file, setFile] = useState("");
  const [records, setRecords] = useState(false);
  const [name, setName] = useState(replaces?.name ?? "");
  const [named, setNamed] = useState(false);
  const [music, setMusic] = useState(replaces?.music ?? false);
  /** The name whose sound may be replaced, though it was another that was begun. */
  const [agreed, setAgreed] = useState("");
  const [wrong, setWrong] = useState<Wrong | null>(null);
  /** How much of it, 0 to 1; null: nothing is sent. */
  const [sent, setSent] = useState<number | null>(null);
  const [leaving, setLeaving] = useState(false);
  const nameField = useRef<HTMLInputElement>(null);
  const submitButton = useRef<HTMLButtonElement>(null);
  const upload = useRef(new AbortController());
  /** Answers to an older question are not taken. */
  const asked = useRef(0);

  const existing = replaces ?? house.items.find((sound) => sound.name === name) ?? null;
  const replacing = existing !== null && (replaces !== null || agreed === name);
  /** What it is stays: lines have it in settings for that kind. */
  const fixed = replacing && existing.uses.length > 0;
  const long = held.step === "ready" && isLonger(held.converted.seconds, secondsMax(music)) ? held.converted.seconds : 0;
  const unsaved = records || (held.step === "ready" && held.from === "microphone");

  useEffect(() => {
    if (several) setWrong({ where: "sound", text: t("one_file") });
    else if (dropped !== null) void take(dropped, "file", dropped.name);
    // What misses the field must not be opened by the browser in place of the console.
    const keep = (event: DragEvent): void => event.preventDefault();
    addEventListener("dragover", keep);
    addEventListener("drop", keep);
    return () => {
      removeEventListener("dragover", keep);
      removeEventListener("drop", keep);
      asked.current += 1;
      upload.current.abort();
    };
  }, []);
  useEffect(() => {
    if (held.step !== "ready") return undefined;
    return () => URL.revokeObjectURL(held.address);
  }, [held]);

  async function take(blob: Blob, by: From, called: string): Promise<void> {
    const mine = (asked.current += 1);
    const shown = cleanName(called);
    setFile(by === "file" ? shown : "");
    setWrong(null);
    setHeld({ step: "converting" });
    if (by === "file" && !named && replaces === null) setName(nameOfFile(called));
    try {
      const converted = await convert(blob);
      if (mine === asked.current) setHeld({ step: "ready", from: by, converted, address: URL.createObjectURL(converted.wav) });
    } catch (error) {
      if (mine === asked.current) setHeld({ step: "unfit", text: unfitSaid(error, by, shown) });
    }
  }

  function unfitSaid(error: unknown, by: From, called: string): string {
    const { reason, seconds } = error instanceof Unfit ? error : new Unfit("unreadable");
    if (by === "microphone") return t("unfit_recording");
    return t(`unfit.${reason}`, { file: called, time: counted(seconds * 1_000), megabytes: FILE_MB_MAX });
  }

  function takeFiles(files: FileList | null | undefined): void {
    const [first] = files ?? [];
    if (first === undefined || sent !== null) return;
    if (files !== undefined && files !== null && files.length > 1) setWrong({ where: "sound", text: t("one_file") });
    else void take(first, "file", first.name);
  }

  /** What is wrong with it as it is; null: nothing. */
  function fault(): Wrong | null {
    if (records) return { where: "sound", text: t("still_records") };
    // Why it is unfit stands there already.
    if (held.step !== "ready") return { where: "sound", text: held.step === "unfit" ? held.text : t("no_sound") };
    if (name === "") return { where: "name", text: t("no_name") };
    if (!isFit(name)) return { where: "name", text: t("bad_name") };
    if (existing !== null && !replacing) return { where: "name", text: takenSaid(existing) };
    if (existing === null && house.left === 0) return { where: "sending", text: t("full") };
    if (music && existing?.music !== true && house.music_left === 0) return { where: "kind", text: t("music_full_next") };
    return null;
  }

  function takenSaid({ uses, name: taken }: Sound): string {
    if (uses.length === 0) return t("taken", { name: taken });
    return t("taken_used", { name: taken, where: uses.map((use) => whereSaid(texts, use)).join(", ") });
  }

  async function submit(): Promise<void> {
    if (sent !== null || held.step === "converting") return;
    const found = fault();
    setWrong(found);
    if (found?.where === "name") nameField.current?.focus();
    if (found !== null || long > 0 || held.step !== "ready") return;
    setSent(0);
    try {
      const { wav } = held.converted;
      onSaved(await putSound({ name, music, wav, fresh: existing === null }, setSent, upload.current.signal), existing !== null);
    } catch (error) {
      setSent(null);
      setWrong({ where: "sending", text: sendingSaid(error) });
    }
  }

  function sendingSaid(error: unknown): string {
    if (!(error instanceof Problem) || error.status === 0) return t("not_sent");
    switch (error.code) {
      // Of somebody who was at it at the same time.
      case "sound_taken":
        return t("taken", { name });
      case "sounds_full":
        return t("full");
      case "music_full":
        return t("music_full_next");
      default:
        return error.status === 413 ? t("too_large") : error.detail || t("not_saved");
    }
  }

  function agree(sound: Sound): void {
    setAgreed(sound.name);
    setMusic(sound.music);
    setWrong(null);
    submitButton.current?.focus();
  }

  function leave(): void {
    if (unsaved && !leaving) setLeaving(true);
    else onClose();
  }

  return (
    <Dialog
      title={replaces === null ? t("add_title") : t("replace_title", { name })}
      onClose={onClose}
      onEscape={(event) => {
        if (!unsaved || leaving) return;
        event.preventDefault();
        setLeaving(true);
      }}
    >
      <form
        class="sound-form"
        noValidate
        onDrop={(event) => {
          event.preventDefault();
          if (records) return;
          setFrom("file");
          takeFiles(event.dataTransfer?.files);
        }}
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        {replaces !== null && <p>{t("replace_text")}</p>}
        <fieldset class="modes" disabled={records}>
          <legend class="unseen">{t("from")}</legend>
          {(["file", "microphone"] as const).map((one) => (
            <label key={one} class={one === from ? "mode on" : "mode"}>
              <input type="radio" name="from" class="unseen" checked={one === from} onChange={() => setFrom(one)} />
              {t(`from_${one}`)}
            </label>
          ))}
        </fieldset>
        {from === "file" ? (
          <FileField file={file} off={sent !== null} onFiles={takeFiles} />
        ) : (
          <Recorder
            most={secondsMax(music)}
            again={held.step === "ready" && held.from === "microphone"}
            off={sent !== null}
            onRecording={setRecords}
            onRecorded={(recorded) => void take(recorded, "microphone", "")}
          />
        )}
        <HeldSound held={held} />
        {wrong?.where === "sound" && held.step !== "unfit" && <Alert text={wrong.text} />}
        {replaces === null && (
          <div class="field">
            <label for="sound-name">{t("name")}</label>
            <input
              id="sound-name"
              ref={nameField}
              value={name}
              maxLength={NAME_MAX}
              autocomplete="off"
              autocapitalize="none"
              spellcheck={false}
              placeholder="welcome"
              aria-invalid={wrong?.where === "name"}
              aria-describedby="sound-name-hint"
              onInput={(event) => {
                setName(event.currentTarget.value);
                setNamed(true);
                if (wrong?.where === "name") setWrong(null);
              }}
            />
            <div id="sound-name-hint">
              {wrong?.where === "name" ? (
                <p class="problem" role="alert">
                  {wrong.text} <Remedy name={name} taken={existing} onTake={setName} onAgree={agree} onDone={() => setWrong(null)} />
                </p>
              ) : (
                <p class="hint">{replacing ? t("will_replace", { name }) : isFit(name) ? t("name_hint", { ref: `our/${name}` }) : t("bad_name")}</p>
              )}
            </div>
          </div>
        )}
        <fieldset class="sound-kinds" disabled={fixed || sent !== null}>
          <legend>{t("kind")}</legend>
          {[false, true].map((one) => (
            <label key={String(one)} class="target">
              <input
                type="radio"
                name="kind"
                checked={one === music}
                onChange={() => {
                  setMusic(one);
                  if (wrong?.where === "kind") setWrong(null);
                }}
              />
              <span>
                <span class="target-name">{t(one ? "kind_music" : "kind_prompt")}</span>{" "}
                <span class="hint">{t(one ? "kind_music_hint" : "kind_prompt_hint", { most: PROMPT_SECONDS_MAX })}</span>
              </span>
            </label>
          ))}
        </fieldset>
        {fixed && <p class="hint">{t("kind_fixed")}</p>}
        {long > 0 && <Alert text={t("long_prompt", { time: counted(long * 1_000), most: PROMPT_SECONDS_MAX })} />}
        {wrong?.where === "kind" && <Alert text={wrong.text} />}
        {wrong?.where === "sending" && <Alert text={wrong.text} />}
        {sent !== null && (
          <div class="sound-sending" role="status">
            <label for="sound-sent">{t("sending")}</label>
            <progress id="sound-sent" max={1} value={sent} />
          </div>
        )}
        {leaving ? (
          <Leaving onKeep={() => setLeaving(false)} onDiscard={onClose} />
        ) : (
          <div class="actions">
            <button type="button" class="button" onClick={leave}>
              {words.t("common.cancel")}
            </button>
            <button ref={submitButton} type="submit" class="button primary" aria-disabled={sent !== null || held.step === "converting"}>
              {t(replacing ? "replace_submit" : "save")}
            </button>
          </div>
        )}
      </form>
    </Dialog>
  );
}

function Alert({ text }: { text: string }) {
  return (
    <p class="problem" role="alert">
      {text}
    </p>
  );
}

/** A field to drop a file on; what is seen is the label, what has the focus is the browser's own field. */
function FileField({ file, off, onFiles }: { file: string; off: boolean; onFiles: (files: FileList | null) => void }) {
  const { t } = useSoundTexts();
  const [over, setOver] = useState(false);
  return (
    <label
      class={over ? "sound-drop over" : "sound-drop"}
      onDragOver={() => setOver(true)}
      onDragLeave={() => setOver(false)}
      onDrop={() => setOver(false)}
    >
      <input
        type="file"
        class="unseen"
        accept="audio/*,.mp3,.wav,.m4a,.ogg,.oga,.opus,.flac,.aac,.webm"
        disabled={off}
        onChange={(event) => {
          onFiles(event.currentTarget.files);
          // The same one may be chosen again, after it was changed.
          event.currentTarget.value = "";
        }}
      />
      <Icon name="sound" />
      {file !== "" && <bdi class="sound-file">{file}</bdi>}
      <span>
        {t("drop")} <span class="sound-choose">{t(file === "" ? "choose" : "choose_other")}</span>
      </span>
      <span class="hint">{t("formats")}</span>
    </label>
  );
}

/** What has become of what was chosen or recorded. */
function HeldSound({ held }: { held: Held }) {
  const { t } = useSoundTexts();
  const said = held.step === "converting" || held.step === "ready";
  return (
    <div class="sound-held">
      {/* There before it has anything to say: a status that comes with its words is not read aloud. */}
      <p id="sound-held" role="status" class={said ? "hint" : "unseen"}>
        {held.step === "converting" && (
          <>
            <span class="spinner" aria-hidden="true" /> {t("converting")}
          </>
        )}
        {held.step === "ready" && t("preview", { time: counted(Math.max(1, Math.round(held.converted.seconds)) * 1_000) })}
      </p>
      {held.step === "unfit" && <Alert text={held.text} />}
      {held.step === "ready" && (
        <>
          <audio controls src={held.address} aria-labelledby="sound-held" />
          {held.converted.silent && (
            <p class="sound-silent" role="alert">
              <Icon name="warning" />
              <span>{t(held.from === "file" ? "silent_file" : "silent_recording")}</span>
            </p>
          )}
        </>
      )}
    </div>
  );
}

interface RemedyProps {
  name: string;
  taken: Sound | null;
  onTake: (name: string) => void;
  onAgree: (sound: Sound) => void;
  onDone: () => void;
}

/** What a click makes of a name that will not do. */
function Remedy({ name, taken, onTake, onAgree, onDone }: RemedyProps) {
  const { t } = useSoundTexts();
  if (taken !== null) {
    return (
      <>
        {t("taken_next")}{" "}
        <button type="button" class="link" onClick={() => onAgree(taken)}>
          {t("taken_replace")}
        </button>
      </>
    );
  }
  const fit = fitName(name);
  if (fit === "" || fit === name) return null;
  return (
    <button
      type="button"
      class="link"
      onClick={() => {
        onTake(fit);
        onDone();
        document.getElementById("sound-name")?.focus();
      }}
    >
      {t("take_name", { name: fit })}
    </button>
  );
}

/** What was spoken is not thrown away by one key. */
function Leaving({ onKeep, onDiscard }: { onKeep: () => void; onDiscard: () => void }) {
  const { t } = useSoundTexts();
  const keep = useRef<HTMLButtonElement>(null);
  // At once: a key pressed right after it is meant for what is on the screen.
  useLayoutEffect(() => {
    const before = document.activeElement;
    keep.current?.focus();
    return () => {
      setTimeout(() => {
        if (document.activeElement !== document.body) return;
        // The button that asked was not there meanwhile: another stands in its place.
        const place = before?.isConnected === true ? before : document.querySelector(".sound-form .actions button");
        if (place instanceof HTMLElement) place.focus();
      });
    };
  }, []);
  return (
    <div class="actions sound-leaving" role="alert">
      <p>{t("discard_text")}</p>
      <button type="button" class="button danger" onClick={onDiscard}>
        {t("discard")}
      </button>
      <button ref={keep} type="button" class="button" onClick={onKeep}>
        {t("keep")}
      </button>
    </div>
  );
}
