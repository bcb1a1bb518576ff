import { useId, useMemo, useRef, useState } from "preact/hooks";
import { type CallAsked, Problem, promiseCall, startCall } from "../api";
import { CALL_DAYS_MAX, callPresets, dialled } from "../calls";
import type { Words } from "../i18n/words";
import { newId } from "../ids";
import type { Card } from "../../shared/frames/operator";
import { isMissed } from "../store";
import { phoneText } from "../text";
import { Icon } from "./bits";
import { useDesk, useNow, useWords } from "./context";
import { Dialog } from "./Dialog";
import { TimeChoice } from "./TimeChoice";

/** Whom to call, and which of their sessions it is about. */
interface Callee {
  number: string;
  session: string;
}

/** What came of asking the server for a call, one at a time; an empty text: it is entered. */
function useAsking(): { busy: boolean; ask: (wish: () => Promise<CallAsked>) => Promise<string> } {
  const words = useWords();
  const [busy, setBusy] = useState(false);

  async function ask(wish: () => Promise<CallAsked>): Promise<string> {
    setBusy(true);
    try {
      await wish();
      return "";
    } catch (error) {
      return saidOf(error, words);
    } finally {
      setBusy(false);
    }
  }

  return { busy, ask };
}

/** In the language of the screen where it has the words; the server's are of the account's language. */
function saidOf(error: unknown, { t, word }: Words): string {
  if (!(error instanceof Problem) || error.status === 0) return t("app.unreachable");
  // Why it is forbidden, the code does not say.
  return error.status === 403 ? error.detail : word("refused", error.code, error.detail);
}

/** Have my phone ring, and show the call when it is there. */
function useCalling(): { why: string; busy: boolean; call: (number: string, where: { line_id?: string; session_id?: string }, id: string) => Promise<string> } {
  const { t } = useWords();
  const { state, connection } = useDesk();
  const { busy, ask } = useAsking();
  return {
    // It stands there and says why it cannot be pressed.
    why: state.me?.phone === true ? "" : t("refused.no_phone"),
    busy,
    call: (number, where, id) =>
      ask(async () => {
        const asked = await startCall({ number, ...where, id });
        connection.called(asked.conversation_id ?? "");
        connection.tell(t("callout.rings", { number: phoneText(asked.number) }));
        return asked;
      }),
  };
}

/** A click calls them. */
export function CallButton({ number, session }: Callee) {
  const { t } = useWords();
  const { state, connection } = useDesk();
  const { why, busy, call } = useCalling();
  if (state.callsFrom.length === 0) return null;

  async function press(): Promise<void> {
    if (busy || state.link !== "live") return;
    const problem = why || (await call(number, { session_id: session }, newId()));
    if (problem !== "") connection.tell(problem);
  }

  return (
    <button
      type="button"
      class="button small"
      aria-disabled={why !== "" || busy || state.link !== "live"}
      aria-label={t("callout.call_number", { number: phoneText(number) })}
      title={why || undefined}
      onClick={(event) => {
        // The second half of a double click would be another call.
        if (event.detail < 2) void press();
      }}
    >
      <Icon name="call_out" />
      {t("callout.call")}
    </button>
  );
}

/** Beside a number of a contact. */
export function CallButtons({ number, session }: Callee) {
  const { t } = useWords();
  const { state } = useDesk();
  const [later, setLater] = useState(false);
  if (state.callsFrom.length === 0) return null;
  return (
    <span class="call-buttons">
      <CallButton number={number} session={session} />
      <button type="button" class="button small" onClick={() => setLater(true)}>
        <Icon name="clock" />
        {t("callout.later")}
      </button>
      {later && <LaterDialog number={number} session={session} onClose={() => setLater(false)} />}
    </span>
  );
}

/** Which number, and from which line? */
export function CallDialog({ onClose }: { onClose: () => void }) {
  const { t } = useWords();
  const { state } = useDesk();
  const { why, busy, call } = useCalling();
  const [number, setNumber] = useState("");
  const [line, setLine] = useState(state.callsFrom[0]?.id ?? "");
  const [problem, setProblem] = useState("");
  const field = useRef<HTMLInputElement>(null);
  const problemId = useId();
  // The same call, however often it is sent; another one when it is another number.
  const id = useMemo(newId, [number, line]);

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    if (busy) return;
    const bad = dialled(number) === "" ? t("refused.bad_number") : await call(number, { line_id: line }, id);
    if (bad === "") {
      onClose();
      return;
    }
    setProblem(bad);
    field.current?.focus();
  }

  return (
    <Dialog title={t("callout.title")} onClose={onClose}>
      <form onSubmit={(event) => void submit(event)}>
        <label class="field">
          <span>{t("call.number")}</span>
          <input
            ref={field}
            type="tel"
            autoComplete="off"
            required
            maxLength={40}
            value={number}
            aria-invalid={problem !== ""}
            aria-describedby={problemId}
            onInput={(event) => {
              setNumber(event.currentTarget.value);
              setProblem("");
            }}
          />
        </label>
        {state.callsFrom.length > 1 && (
          <label class="field">
            <span>{t("callout.line")}</span>
            <select value={line} onChange={(event) => setLine(event.currentTarget.value)}>
              {state.callsFrom.map((one) => (
                <option key={one.id} value={one.id} selected={one.id === line}>
                  {one.name}
                </option>
              ))}
            </select>
          </label>
        )}
        <p id={problemId} class={problem || why ? "problem" : "hint"} role={problem || why ? "alert" : undefined}>
          {problem || why || t("callout.hint")}
        </p>
        <div class="actions">
          <button type="button" class="button" onClick={onClose}>
            {t("common.cancel")}
          </button>
          <button type="submit" class="button primary" disabled={why !== "" || busy || state.link !== "live"}>
            {t(busy ? "callout.busy" : "callout.call")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** When, and by whom first? */
function LaterDialog({ number, session, onClose }: Callee & { onClose: () => void }) {
  const words = useWords();
  const { t } = words;
  const { state, connection } = useDesk();
  const { busy, ask } = useAsking();
  const now = useNow(30_000);
  const phone = state.me?.phone === true;
  const [mine, setMine] = useState(phone);
  const [problem, setProblem] = useState("");
  const mineId = useId();
  const sent = useRef({ what: "", id: "" });

  async function promise(at: number): Promise<void> {
    const what = `${at} ${mine}`;
    if (sent.current.what !== what) sent.current = { what, id: newId() };
    const wish = { number, session_id: session, at: new Date(at).toISOString(), mine, id: sent.current.id };
    const bad = await ask(() => promiseCall(wish));
    setProblem(bad);
    if (bad !== "") return;
    connection.tell(t("callout.promised", { number: phoneText(number), time: words.weekdayTime(at, now) }));
    onClose();
  }

  return (
    <Dialog title={t("callout.later_title", { number: phoneText(number) })} onClose={onClose}>
      <label class="check">
        <input
          type="checkbox"
          checked={mine}
          disabled={!phone}
          aria-describedby={mineId}
          onChange={(event) => setMine(event.currentTarget.checked)}
        />
        {t("callout.mine")}
      </label>
      <p id={mineId} class="hint">
        {t(phone ? "callout.mine_hint" : "refused.no_phone")}
      </p>
      <TimeChoice
        choices={callPresets(now).map(({ preset, at }) => ({ text: t(preset === "quarter" ? "callout.quarter" : `snooze.${preset}`), at }))}
        days={CALL_DAYS_MAX}
        refused={t("refused.bad_time")}
        submit={t("callout.plan")}
        busy={busy}
        problem={problem}
        onChoose={(at) => void promise(at)}
        onClose={onClose}
      />
    </Dialog>
  );
}

/** How often they were called in vain; empty: they were not. */
export function triesOf(card: Card, { t }: Words): string {
  const tries = card.talk?.tries ?? 0;
  return tries > 0 && card.talk?.reached !== true ? t("call.tries", { count: tries }) : "";
}

/** Says that somebody has seen to a missed call: it leaves its list. */
export function SettleButton({ card }: { card: Card }) {
  const { t } = useWords();
  const { state, connection } = useDesk();
  return (
    <button
      type="button"
      class="button small"
      title={t("verb.settle_hint")}
      disabled={state.link !== "live"}
      onClick={() => connection.deed(card.session, "settle")}
    >
      <Icon name="check" /> {t("verb.settle")}
    </button>
  );
}

/** When the caller of a missed call is called back, if that is planned. */
export function Planned({ card }: { card: Card }) {
  const words = useWords();
  const now = useNow(60_000);
  const at = card.talk?.planned ?? 0;
  if (!isMissed(card) || at === 0) return null;
  return (
    <span class="planned">
      <Icon name="call_out" />
      {at > now ? words.t("call.planned", { time: words.weekdayTime(at, now) }) : words.t("call.planned_now")}
    </span>
  );
}
