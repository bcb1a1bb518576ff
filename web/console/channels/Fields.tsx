import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Icon } from "../views/bits";
import { type Field, type Group, type Raw, rawIn, rawOf, type Shown, ticks } from "./forms";
import { Alert } from "./parts";
import { useChannelTexts } from "./texts";

/** More options than these are chosen from a list. */
const RADIOS_MAX = 3;

interface FieldsProps {
  kind: string;
  groups: readonly Group[];
  shown: Shown;
  /** Which secrets there are. */
  secrets: Readonly<Record<string, boolean>>;
  /** What is wrong, by setting. */
  wrong: Readonly<Record<string, string>>;
  onWrite: (key: string, raw: Raw) => void;
}

/** The fields of a kind in their groups; what is seldom needed is folded until something in it is wrong. */
export function Fields({ kind, groups, shown, secrets, wrong, onWrite }: FieldsProps) {
  const { t, word } = useChannelTexts();
  const row = (field: Field) => (
    <FieldRow
      key={field.key}
      kind={kind}
      field={field}
      raw={rawIn(shown, field.key)}
      set={secrets[field.key] === true}
      wrong={wrong[field.key] ?? ""}
      onWrite={(raw) => onWrite(field.key, raw)}
    />
  );
  return (
    <>
      {groups.map(({ title, fields, note: advise }) => {
        const note = advise?.(shown) ?? "";
        const seen = fields.filter((field) => field.when?.(shown) !== false);
        const often = seen.filter((field) => field.more !== true);
        const seldom = seen.filter((field) => field.more === true);
        if (seen.length === 0) return null;
        return (
          <fieldset key={title} class="channel-group">
            {title === "" ? null : <legend>{title === "others" ? t("others") : word(kind, title)}</legend>}
            {note !== "" && (
              <p class="channel-note">
                <Icon name="warning" />
                <span>{word(kind, `note.${note}`)}</span>
              </p>
            )}
            {paired(often).map((fieldsOfRow) => (fieldsOfRow.length === 1 ? fieldsOfRow.map(row) : <div class="channel-pair">{fieldsOfRow.map(row)}</div>))}
            {seldom.length > 0 && (
              <Seldom wrong={seldom.some((field) => (wrong[field.key] ?? "") !== "")}>{seldom.map(row)}</Seldom>
            )}
          </fieldset>
        );
      })}
    </>
  );
}

/** What is seldom needed: folded, until something in it is wrong. */
function Seldom({ wrong, children }: { wrong: boolean; children: ComponentChildren }) {
  const { t } = useChannelTexts();
  const details = useRef<HTMLDetailsElement>(null);
  // Before the focus goes to what is wrong; and it stays open while that is put right.
  useLayoutEffect(() => {
    if (wrong && details.current !== null) details.current.open = true;
  }, [wrong]);
  return (
    <details ref={details}>
      <summary>{t("more")}</summary>
      <div class="channel-more">{children}</div>
    </details>
  );
}

/** The fields by row: those that share one stand together. */
function paired(fields: readonly Field[]): Field[][] {
  const rows: Field[][] = [];
  for (const field of fields) {
    const before = rows.at(-1);
    if (field.beside === true && before !== undefined) before.push(field);
    else rows.push([field]);
  }
  return rows;
}

interface RowProps {
  kind: string;
  field: Field;
  raw: Raw;
  set: boolean;
  wrong: string;
  onWrite: (raw: Raw) => void;
}

function FieldRow({ kind, field, raw, set, wrong, onWrite }: RowProps) {
  const { t, word } = useChannelTexts();
  const id = `setting-${field.key}`;
  const label = word(kind, field.key, field.key);
  const told = word(kind, `${field.key}.hint`, "");
  const hint = field.as === "list" ? `${told} ${t("one_a_line")}`.trim() : told;
  const text = typeof raw === "string" ? raw : "";
  const about = { "aria-invalid": wrong !== "", "aria-describedby": `${id}-hint` };
  const plain = { id, ...about, autocomplete: "off", spellcheck: false };

  switch (field.as) {
    case "bool":
      return (
        <div class="channel-field">
          <label class="check">
            <input {...about} id={id} type="checkbox" checked={raw === true} onChange={(event) => onWrite(event.currentTarget.checked)} />
            <span>
              {label}
              <Beneath id={id} wrong={wrong} hint={hint} />
            </span>
          </label>
        </div>
      );
    case "choice":
      return field.options.length > RADIOS_MAX ? (
        <Row id={id} label={label} hint={hint} wrong={wrong}>
          <select {...about} id={id} value={text} onChange={(event) => onWrite(event.currentTarget.value)}>
            {field.options.map((option) => (
              <option key={option} value={String(option)} selected={String(option) === text}>
                {word(kind, `${field.key}.${option}`, String(option))}
              </option>
            ))}
          </select>
        </Row>
      ) : (
        <fieldset class="channel-field channel-choice" aria-describedby={`${id}-hint`}>
          <legend>{label}</legend>
          {field.options.map((option) => (
            <label key={option} class="target">
              <input type="radio" name={id} checked={String(option) === text} onChange={() => onWrite(String(option))} />
              <span>
                <span class="target-name">{word(kind, `${field.key}.${option}`, String(option))}</span>{" "}
                <span class="hint">{word(kind, `${field.key}.${option}.hint`, "")}</span>
              </span>
            </label>
          ))}
          <Beneath id={id} wrong={wrong} hint={hint} />
        </fieldset>
      );
    case "set": {
      const chosen = ticks(raw);
      return (
        <fieldset class="channel-field channel-choice" aria-describedby={`${id}-hint`}>
          <legend>{label}</legend>
          <div class="channel-ticks">
            {field.options.map((option) => (
              <label key={option} class="check">
                <input
                  type="checkbox"
                  aria-invalid={wrong !== ""}
                  checked={chosen.includes(option)}
                  onChange={(event) => onWrite(event.currentTarget.checked ? [...chosen, option] : chosen.filter((one) => one !== option))}
                />
                {word(kind, `${field.key}.${option}`, option)}
              </label>
            ))}
          </div>
          <Beneath id={id} wrong={wrong} hint={hint} />
        </fieldset>
      );
    }
    case "secret":
      return (
        <Row id={id} label={label} hint={hint} wrong={wrong}>
          <Secret id={id} label={label} raw={raw} set={set} wrong={wrong} removable={field.required !== true} onWrite={onWrite} />
        </Row>
      );
    case "words":
    case "list":
      return (
        <Row id={id} label={label} hint={hint} wrong={wrong} optional={rawOf(field, field.standard) === ""}>
          <textarea
            {...about}
            id={id}
            rows={Math.min(6, Math.max(2, text.split("\n").length))}
            spellcheck={field.as === "words"}
            placeholder={field.as === "list" ? field.example : undefined}
            value={text}
            onInput={(event) => onWrite(event.currentTarget.value)}
          />
        </Row>
      );
    case "number":
      return (
        <Row id={id} label={label} hint={hint} wrong={wrong}>
          <input {...plain} class="channel-number" inputMode="numeric" value={text} onInput={(event) => onWrite(event.currentTarget.value)} />
        </Row>
      );
    case "text":
      return (
        <Row id={id} label={label} hint={hint} wrong={wrong} optional={field.required !== true && field.standard === ""}>
          <input
            {...plain}
            inputMode={field.input}
            autocapitalize={field.input === undefined ? undefined : "none"}
            placeholder={field.example}
            value={text}
            onInput={(event) => onWrite(event.currentTarget.value)}
          />
        </Row>
      );
  }
}

interface AroundProps {
  id: string;
  label: string;
  hint: string;
  wrong: string;
  optional?: boolean;
  children: ComponentChildren;
}

/** A field with what stands around it. */
export function Row({ id, label, hint, wrong, optional = false, children }: AroundProps) {
  const { t } = useChannelTexts();
  return (
    <div class="channel-field field">
      <label for={id}>
        {label}
        {optional && <small class="hint"> · {t("optional")}</small>}
      </label>
      {children}
      <Beneath id={id} wrong={wrong} hint={hint} />
    </div>
  );
}

/** What is wrong with it, and what it is for. */
function Beneath({ id, wrong, hint }: { id: string; wrong: string; hint: string }) {
  return (
    <span id={`${id}-hint`} class="channel-beneath">
      {wrong !== "" && <Alert text={wrong} />}
      {hint !== "" && <span class="hint">{hint}</span>}
    </span>
  );
}

interface SecretProps {
  id: string;
  label: string;
  raw: Raw;
  set: boolean;
  wrong: string;
  removable: boolean;
  onWrite: (raw: Raw) => void;
}

/** A secret goes in and never comes out: an empty field keeps what there is. */
function Secret({ id, label, raw, set, wrong, removable, onWrite }: SecretProps) {
  const { t } = useChannelTexts();
  const [open, setOpen] = useState(false);
  const gone = raw === null;
  return (
    <>
      <div class="with-button">
        <input
          id={id}
          {...(open ? { type: "text" as const } : { type: "password" as const })}
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          aria-invalid={wrong !== ""}
          aria-describedby={`${id}-hint ${id}-set`}
          placeholder={set && !gone ? "••••••••••••" : undefined}
          value={typeof raw === "string" ? raw : ""}
          onInput={(event) => onWrite(event.currentTarget.value)}
        />
        <button type="button" class="button" aria-pressed={open} aria-label={t(open ? "hide_what" : "show_what", { what: label })} onClick={() => setOpen(!open)}>
          {t(open ? "hide" : "show")}
        </button>
      </div>
      <span id={`${id}-set`} class="hint">
        {set && (gone ? t("secret_gone") : t("secret_set"))}{" "}
        {set && removable && (raw === "" || gone) && (
          <button type="button" class="link" onClick={() => onWrite(gone ? "" : null)}>
            {t(gone ? "secret_keep" : "secret_remove")}
          </button>
        )}
      </span>
    </>
  );
}
