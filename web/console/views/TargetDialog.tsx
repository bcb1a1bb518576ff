import { useEffect, useId, useRef, useState } from "preact/hooks";
import { detailOf, type TargetLine, type TargetOperator, type Targets, targets as loadTargets } from "../api";
import type { Card } from "../../shared/frames/operator";
import { dialled } from "../calls";
import { TEXT_MAX } from "../composer";
import { isCall } from "../store";
import { Busy, Failed } from "./bits";
import { useDesk, useNow, useWords } from "./context";
import { Dialog } from "./Dialog";

/** `transfer` offers it to a colleague who is there, `assign` gives it to anybody, `invite` asks a colleague to join, `consult` calls one. */
export type Passing = "transfer" | "assign" | "invite" | "consult";

export interface Chosen {
  operator?: string;
  line?: string;
  /** Outside; of calls only. */
  number?: string;
  text?: string;
}

interface TargetDialogProps {
  passing: Passing;
  /** The session; null: there are many. */
  card: Card | null;
  title: string;
  onChoose: (chosen: Chosen) => void;
  onClose: () => void;
}

/** So many are found by the eye; more need a field to find them by. */
const SEEN_AT_ONCE = 7;

/** To whom? A colleague or a line, and a note to whoever is next. */
export function TargetDialog({ passing, card, title, onChoose, onClose }: TargetDialogProps) {
  const { t } = useWords();
  const [targets, setTargets] = useState<Targets | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [wanted, setWanted] = useState("");
  const [chosen, setChosen] = useState<Chosen | null>(null);
  const [text, setText] = useState("");
  const [number, setNumber] = useState("");
  const [bad, setBad] = useState(false);
  const badId = useId();
  const toOne = passing === "invite" || passing === "consult";
  const withNote = !toOne && card !== null;
  const outside = passing === "transfer" && card !== null && isCall(card);

  async function load(): Promise<void> {
    setProblem(null);
    try {
      setTargets(await loadTargets());
    } catch (error) {
      setProblem(detailOf(error) || t("app.unreachable"));
    }
  }
  useEffect(() => void load(), []);
  // The list comes after the dialog: whoever has not begun to write goes on from it.
  const list = useRef<HTMLDivElement>(null);
  const find = useRef<HTMLInputElement>(null);
  const outsideField = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (targets === null || text !== "") return;
    (find.current ?? list.current?.querySelector<HTMLInputElement>("input:enabled"))?.focus();
  }, [targets]);

  function submit(event: Event): void {
    event.preventDefault();
    const wanted = chosen ?? { number: dialled(number) };
    if (wanted.number === "") {
      setBad(true);
      outsideField.current?.focus();
      return;
    }
    const note = text.trim();
    onChoose(withNote && note !== "" ? { ...wanted, text: note } : wanted);
    onClose();
  }

  const found = (name: string): boolean => name.toLocaleLowerCase().includes(wanted.trim().toLocaleLowerCase());
  const people = useOthers(targets?.operators ?? [], passing, card);
  const lines = toOne ? [] : (targets?.lines ?? []);

  function choose(one: Chosen): void {
    setChosen(one);
    setNumber("");
    setBad(false);
  }
  const shownPeople = people.filter((one) => found(one.name));
  const shownLines = lines.filter((one) => found(one.name));
  return (
    <Dialog title={title} onClose={onClose}>
      <form onSubmit={submit}>
        {problem !== null ? (
          <Failed text={problem} onRetry={() => void load()} />
        ) : targets === null ? (
          <Busy text={t("target.loading")} />
        ) : (
          <>
            {people.length + lines.length > SEEN_AT_ONCE && (
              <label class="field">
                <span>{t("target.find")}</span>
                <input ref={find} type="search" value={wanted} onInput={(event) => setWanted(event.currentTarget.value)} />
              </label>
            )}
            <div class="targets" ref={list}>
              {shownPeople.length > 0 && (
                <fieldset>
                  <legend>{t("target.people")}</legend>
                  {shownPeople.map((one) => (
                    <Person
                      key={one.id}
                      operator={one}
                      passing={passing}
                      card={card}
                      on={chosen?.operator === one.id}
                      onChoose={() => choose({ operator: one.id })}
                    />
                  ))}
                </fieldset>
              )}
              {shownLines.length > 0 && (
                <fieldset>
                  <legend>{t("target.lines")}</legend>
                  {shownLines.map((one) => (
                    <Line
                      key={one.id}
                      line={one}
                      own={card?.line === one.id}
                      on={chosen?.line === one.id}
                      onChoose={() => choose({ line: one.id })}
                    />
                  ))}
                </fieldset>
              )}
              {shownPeople.length + shownLines.length === 0 && (
                <p class="quiet-line">{t(people.length + lines.length > 0 ? "target.none_found" : passing === "consult" ? "target.no_phones" : "target.nobody")}</p>
              )}
            </div>
          </>
        )}
        {outside && (
          <label class="field">
            <span>{t("target.number")}</span>
            <input
              ref={outsideField}
              type="tel"
              autoComplete="off"
              maxLength={40}
              value={number}
              aria-invalid={bad}
              aria-describedby={bad ? badId : undefined}
              onInput={(event) => {
                setNumber(event.currentTarget.value);
                setChosen(null);
                setBad(false);
              }}
            />
            {bad && (
              <span id={badId} class="problem" role="alert">
                {t("refused.bad_number")}
              </span>
            )}
          </label>
        )}
        {withNote && (
          <label class="field">
            <span>{t("target.note")}</span>
            <textarea
              rows={2}
              dir="auto"
              maxLength={TEXT_MAX}
              value={text}
              placeholder={t("target.note_hint")}
              onInput={(event) => setText(event.currentTarget.value)}
            />
          </label>
        )}
        <div class="actions">
          <button type="button" class="button" onClick={onClose}>
            {t("common.cancel")}
          </button>
          <button type="submit" class="button primary" disabled={chosen === null && number.trim() === ""}>
            {t(`target.${passing}`)}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** Whoever has it is no choice; those who are there and of this line come first. Presence is the latest that the gateway told. */
function useOthers(operators: readonly TargetOperator[], passing: Passing, card: Card | null): TargetOperator[] {
  const { state } = useDesk();
  const { language } = useWords();
  const held = card?.status === "closed" ? "" : (card?.operator ?? "");
  const known =
    passing === "invite" ? [held, state.me?.id, ...(card?.members ?? []), ...(card?.invited ?? [])] : passing === "consult" ? [held, state.me?.id] : [held];
  const rank = (one: TargetOperator): number =>
    (isThere(one) ? 0 : 2) + (card === null || one.lines.includes(card.line) ? 0 : 1);
  return operators
    .filter((one) => !known.includes(one.id) && (passing !== "consult" || one.phone))
    .map((one) => ({ ...one, presence: state.colleagues[one.id]?.presence ?? one.presence }))
    .sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name, language));
}

function isThere(operator: TargetOperator): boolean {
  return operator.presence === "online" && operator.on_shift;
}

interface PersonProps {
  operator: TargetOperator;
  passing: Passing;
  card: Card | null;
  on: boolean;
  onChoose: () => void;
}

function Person({ operator, passing, card, on, onChoose }: PersonProps) {
  const { t } = useWords();
  const { state } = useDesk();
  // Nobody is rung who has no phone.
  const unheard = passing === "transfer" && card !== null && isCall(card) && !operator.phone;
  const about = [
    t(`presence.${operator.presence}`),
    unheard ? t("target.no_phone") : "",
    operator.on_shift ? "" : t("target.off_shift"),
    // Whoever joins takes nothing of their budget.
    passing === "invite" ? "" : t("nav.load", { load: operator.load, budget: operator.budget }),
    card === null || operator.lines.includes(card.line) ? "" : t("target.other_line"),
  ];
  return (
    <Choice
      name={operator.id === state.me?.id ? t("target.me", { name: operator.name }) : operator.name}
      about={about.filter((one) => one !== "").join(" · ")}
      dot={operator.presence}
      on={on}
      // An offer to somebody who is not there would be refused.
      disabled={unheard || ((passing === "transfer" || passing === "consult") && !isThere(operator))}
      onChoose={onChoose}
    />
  );
}

function Line({ line, own, on, onChoose }: { line: TargetLine; own: boolean; on: boolean; onChoose: () => void }) {
  const words = useWords();
  const now = useNow(60_000);
  const hours = words.hours(line, now);
  return (
    <Choice
      name={line.name}
      about={own ? `${words.t("target.own_line")} · ${hours}` : hours}
      dot={line.open ? "online" : "offline"}
      on={on}
      disabled={false}
      onChoose={onChoose}
    />
  );
}

interface ChoiceProps {
  name: string;
  about: string;
  dot: string;
  on: boolean;
  disabled: boolean;
  onChoose: () => void;
}

function Choice({ name, about, dot, on, disabled, onChoose }: ChoiceProps) {
  const id = useId();
  return (
    <label class={disabled ? "target off" : "target"}>
      <input type="radio" name="target" checked={on} disabled={disabled} aria-describedby={id} onChange={onChoose} />
      <span class={`dot ${dot}`} aria-hidden="true" />
      <bdi class="target-name">{name}</bdi>
      <span id={id} class="hint">
        {about}
      </span>
    </label>
  );
}
