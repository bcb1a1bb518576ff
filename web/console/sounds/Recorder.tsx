import { useEffect, useRef, useState } from "preact/hooks";
import { counted } from "../calls";
import { Icon } from "../views/bits";
import { type Deaf, NotHeard, record, type Recording } from "./microphone";
import { useSoundTexts } from "./texts";

/** Below it, see levelOf, nobody speaks. */
const QUIET = 0.2;
const QUIET_SECONDS = 3;
/** How long it may be stopped too late. */
const LOOK_MS = 200;
/** What is left of the level that is shown, from one picture to the next. */
const FALL = 0.96;

interface RecorderProps {
  /** There is a recording already. */
  again: boolean;
  /** Seconds, after which it ends by itself. */
  most: number;
  /** Nothing may begin now. */
  off: boolean;
  onRecording: (on: boolean) => void;
  onRecorded: (recorded: Blob) => void;
}

/** Records by the microphone: one button that begins and ends it, so that the focus stays where it is. */
export function Recorder({ again, most, off, onRecording, onRecorded }: RecorderProps) {
  const { t } = useSoundTexts();
  const [recording, setRecording] = useState<Recording | null>(null);
  const [asking, setAsking] = useState(false);
  const [deaf, setDeaf] = useState<Deaf | null>(null);
  const running = useRef<Recording | null>(null);
  const there = useRef(true);
  useEffect(
    () => () => {
      there.current = false;
      running.current?.forget();
    },
    [],
  );

  async function begin(): Promise<void> {
    setAsking(true);
    setDeaf(null);
    onRecording(true);
    try {
      const begun = await record((recorded) => {
        running.current = null;
        setRecording(null);
        onRecording(false);
        onRecorded(recorded);
      });
      // The dialog may have been closed while the browser asked.
      if (!there.current) begun.forget();
      running.current = begun;
      setRecording(begun);
    } catch (error) {
      onRecording(false);
      setDeaf(error instanceof NotHeard ? error.why : "failed");
    }
    setAsking(false);
  }

  return (
    <div class="recorder">
      <button
        type="button"
        class={recording === null ? "button" : "button danger"}
        aria-disabled={off || asking}
        onClick={() => {
          if (recording !== null) recording.stop();
          else if (!off && !asking) void begin();
        }}
      >
        <Icon name={recording === null ? "microphone" : "stop"} />
        {t(recording !== null ? "record_stop" : again ? "record_again" : "record")}
      </button>
      {recording !== null ? (
        <Heard recording={recording} most={most} />
      ) : deaf !== null ? (
        <p class="problem" role="alert">
          {t(`deaf.${deaf}`)}
        </p>
      ) : (
        <p class="hint" role="status">
          {t(asking ? "record_asking" : "record_hint")}
        </p>
      )}
    </div>
  );
}

/** For how long, and that something is heard. */
function Heard({ recording, most }: { recording: Recording; most: number }) {
  const { t } = useSoundTexts();
  const [seconds, setSeconds] = useState(0);
  const [quiet, setQuiet] = useState(false);
  const bar = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    let heardAt = 0;
    let shown = 0;
    let frame = requestAnimationFrame(draw);
    function draw(): void {
      const level = recording.level();
      const now = recording.length();
      if (level >= QUIET) heardAt = now;
      // It rises at once and falls slowly: a word is seen for as long as an eye needs.
      shown = Math.max(level, shown * FALL);
      if (bar.current !== null) bar.current.style.width = `${Math.round(shown * 100)}%`;
      setSeconds(Math.floor(now));
      setQuiet(now - heardAt > QUIET_SECONDS);
      frame = requestAnimationFrame(draw);
    }
    return () => cancelAnimationFrame(frame);
  }, [recording]);
  useEffect(() => {
    // Not by pictures: there are none while another tab is looked at.
    const timer = setInterval(() => {
      if (recording.length() >= most) recording.stop();
    }, LOOK_MS);
    return () => clearInterval(timer);
  }, [recording, most]);
  return (
    <>
      <p class="recorder-time">
        <span class="recorder-dot" aria-hidden="true" />
        <span role="status">{t("recording")}</span> <span class="lasts">{counted(seconds * 1_000)} / {counted(most * 1_000)}</span>
      </p>
      <span class="level" title={t("level")} aria-hidden="true">
        <span ref={bar} />
      </span>
      <p role="status" class={quiet ? "hint" : "unseen"}>
        {quiet && t("record_quiet")}
      </p>
    </>
  );
}
