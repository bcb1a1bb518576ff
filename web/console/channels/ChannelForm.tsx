import { useEffect, useId, useMemo, useRef, useState } from "preact/hooks";
import { isFit, NAME_MAX } from "../sounds/names";
import { cleanName } from "../text";
import { Icon } from "../views/bits";
import { type Complaints, complaintsOf, NO_COMPLAINTS } from "./complaints";
import { Fields, Row } from "./Fields";
import { changesAccess, faultsOf, fieldsShown, groupsOf, type KindForm, settingsOf, type Shown, shownIn } from "./forms";
import { Alert } from "./parts";
import { addChannel, type Channel, changeChannel, type ChannelChange, type Line, probe, type Probed } from "./rest";
import { proposeSlug } from "./slugs";
import { type ChannelTexts, useChannelTexts } from "./texts";

interface FormProps {
  form: KindForm;
  /** Null: a new one is connected. */
  channel: Channel | null;
  lines: readonly Line[];
  /** Short names that are others'. */
  taken: ReadonlySet<string>;
  onSaved: (channel: Channel) => void;
}

/** A test, and of which settings it was. */
interface Test {
  of: string;
  /** Null: it did not succeed. */
  probed: Probed | null;
}

/** What an administrator sets of a channel: tried out before it is kept. */
export function ChannelForm({ form, channel, lines, taken, onSaved }: FormProps) {
  const texts = useChannelTexts();
  const { t } = texts;
  const [written, setWritten] = useState<Shown>({});
  /** Null: nobody has written it yet. */
  const [name, setName] = useState<string | null>(null);
  const [line, setLine] = useState<string | null>(null);
  const [slug, setSlug] = useState<string | null>(null);
  const [test, setTest] = useState<Test | null>(null);
  const [busy, setBusy] = useState<"" | "testing" | "saving">("");
  const [{ wrong, problem }, setComplaints] = useState<Complaints>(NO_COMPLAINTS);
  /** It is asked whether what was not tested shall be saved. */
  const [asking, setAsking] = useState(false);
  const [said, setSaid] = useState("");
  const element = useRef<HTMLFormElement>(null);
  /** Which button has the focus once the question is answered. */
  const answered = useRef("");

  const groups = useMemo(() => groupsOf(form, channel), [form, channel]);
  const shown = shownIn(form, groups, channel, written);
  const fields = fieldsShown(groups, shown);
  const settings = settingsOf(fields, channel, shown);
  const key = JSON.stringify(settings);
  const tested = test?.of === key ? test : null;
  const failedTest = tested !== null && tested.probed === null && busy !== "saving";
  const nameShown = name ?? channel?.name ?? cleanName(test?.probed?.name ?? "");
  const lineShown = line ?? channel?.line_id ?? (lines.length === 1 ? (lines[0]?.id ?? "") : "");
  const slugShown = slug ?? proposeSlug({ name: nameShown, address: test?.probed?.address ?? "" }, taken);
  const known = new Set([...fields.map((field) => field.key), "name", "line_id", ...(channel === null ? ["slug"] : [])]);

  // What is wrong is looked for where it stands.
  useEffect(() => {
    if (Object.keys(wrong).length > 0) element.current?.querySelector<HTMLElement>("[aria-invalid='true']")?.focus();
  }, [wrong]);

  useEffect(() => {
    if (!asking && answered.current !== "") element.current?.querySelector<HTMLElement>(answered.current)?.focus();
    answered.current = "";
  }, [asking]);

  function right(field: string): void {
    setSaid("");
    setAsking(false);
    if (field in wrong || problem !== "") {
      setComplaints({ wrong: Object.fromEntries(Object.entries(wrong).filter(([one]) => one !== field)), problem: "" });
    }
  }

  /** What is missing, of the settings alone or of everything; true: something is. */
  function faulty(all: boolean): boolean {
    const found: Record<string, string> = {};
    for (const [field, fault] of Object.entries(faultsOf(form, fields, channel, shown))) found[field] = t(fault);
    if (all && nameShown.trim() === "") found.name = t("needed");
    if (all && lineShown === "") found.line_id = t("needed");
    if (all && channel === null && !isFit(slugShown)) found.slug = slugShown === "" ? t("needed") : t("slug_bad");
    setComplaints({ wrong: found, problem: "" });
    return Object.keys(found).length > 0;
  }

  async function tryOut(): Promise<void> {
    if (busy !== "") return;
    setSaid("");
    setAsking(false);
    if (faulty(false)) return;
    setBusy("testing");
    try {
      setTest({ of: key, probed: await probe(form.kind, settings, channel?.id ?? null) });
    } catch (error) {
      setTest({ of: key, probed: null });
      setComplaints(complaintsOf(texts, error, known));
    }
    setBusy("");
  }

  async function save(agreed: boolean): Promise<void> {
    if (busy !== "") return;
    setSaid("");
    if (faulty(true)) {
      setAsking(false);
      return;
    }
    const unsure = form.probed && (tested?.probed ?? null) === null && (channel === null || changesAccess(fields, settings));
    if (unsure && !agreed) {
      setAsking(true);
      return;
    }
    setAsking(false);
    const changes = changesTo(channel);
    if (channel !== null && Object.keys(changes).length === 0) {
      setSaid(t("nothing_changed"));
      return;
    }
    setBusy("saving");
    try {
      const saved =
        channel === null
          ? await addChannel({ line_id: lineShown, slug: slugShown, kind: form.kind, name: nameShown.trim(), settings })
          : await changeChannel(channel.id, changes);
      setBusy("");
      setWritten({});
      setName(null);
      setLine(null);
      setTest(null);
      setSaid(t("saved"));
      onSaved(saved);
    } catch (error) {
      setBusy("");
      setComplaints(complaintsOf(texts, error, known));
    }
  }

  function changesTo(now: Channel | null): ChannelChange {
    const changes: ChannelChange = {};
    if (now === null) return changes;
    if (nameShown.trim() !== now.name) changes.name = nameShown.trim();
    if (lineShown !== now.line_id) changes.line_id = lineShown;
    if (Object.keys(settings).length > 0) changes.settings = settings;
    return changes;
  }

  return (
    <form
      ref={element}
      class="channel-form"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void save(false);
      }}
    >
      {channel === null && form.steps > 0 && <Steps form={form} />}
      <Fields
        kind={form.kind}
        groups={groups}
        shown={shown}
        secrets={channel?.secrets ?? {}}
        wrong={wrong}
        onWrite={(field, raw) => {
          setWritten({ ...written, [field]: raw });
          right(field);
        }}
      />
      {form.probed && (
        <div class="channel-test">
          <button type="button" class="button" aria-disabled={busy !== ""} onClick={() => void tryOut()}>
            {busy === "testing" && <span class="spinner" aria-hidden="true" />}
            {t(busy === "testing" ? "testing" : "test")}
          </button>
          <p class="hint">{t("test_hint")}</p>
          {/* There before it has anything to say: a status that comes with its words is not read aloud. */}
          <div role="status">{tested?.probed && <Found probed={tested.probed} texts={texts} />}</div>
          {problem !== "" && failedTest && <Alert text={problem} />}
        </div>
      )}
      <fieldset class="channel-group">
        <legend>{t("here")}</legend>
        <Row id="channel-name" label={t("name")} hint={t("name_hint")} wrong={wrong.name ?? ""}>
          <input
            id="channel-name"
            maxLength={200}
            autocomplete="off"
            aria-invalid={(wrong.name ?? "") !== ""}
            aria-describedby="channel-name-hint"
            value={nameShown}
            onInput={(event) => {
              setName(event.currentTarget.value);
              right("name");
            }}
          />
        </Row>
        <Row id="channel-line" label={t("line")} hint={t(lines.length === 0 ? "line_none" : "line_hint")} wrong={wrong.line_id ?? ""}>
          <select
            id="channel-line"
            aria-invalid={(wrong.line_id ?? "") !== ""}
            aria-describedby="channel-line-hint"
            value={lineShown}
            onChange={(event) => {
              setLine(event.currentTarget.value);
              right("line_id");
            }}
          >
            {lineShown === "" && (
              <option value="" selected>
                {t("line_choose")}
              </option>
            )}
            {lines.map((one) => (
              <option key={one.id} value={one.id} selected={one.id === lineShown}>
                {one.active ? cleanName(one.name) : t("line_off", { name: cleanName(one.name) })}
              </option>
            ))}
          </select>
        </Row>
        {channel === null && (
          <Row id="channel-slug" label={t("slug")} hint={t("slug_hint")} wrong={wrong.slug ?? ""}>
            <input
              id="channel-slug"
              maxLength={NAME_MAX}
              autocomplete="off"
              autocapitalize="none"
              spellcheck={false}
              aria-invalid={(wrong.slug ?? "") !== ""}
              aria-describedby="channel-slug-hint"
              value={slugShown}
              onInput={(event) => {
                setSlug(event.currentTarget.value);
                right("slug");
              }}
            />
          </Row>
        )}
      </fieldset>
      {problem !== "" && !failedTest && <Alert text={problem} />}
      {asking ? (
        <Untested
          failed={tested !== null}
          onTest={() => {
            answered.current = ".channel-test .button";
            void tryOut();
          }}
          onSave={() => {
            answered.current = "[type='submit']";
            void save(true);
          }}
        />
      ) : (
        <div class="actions">
          <p role="status" class="hint">
            {Object.keys(wrong).length > 0 ? t("correct") : said}
          </p>
          <button type="submit" class="button primary" aria-disabled={busy !== ""}>
            {busy === "saving" && <span class="spinner" aria-hidden="true" />}
            {t(busy === "saving" ? "saving" : channel === null ? "connect_submit" : "save")}
          </button>
        </div>
      )}
    </form>
  );
}

/** How one comes by what is asked for. */
function Steps({ form }: { form: KindForm }) {
  const { t, word } = useChannelTexts();
  return (
    <div class="channel-steps">
      <h2>{t("steps")}</h2>
      <ol>
        {Array.from({ length: form.steps }, (_, at) => (
          <li key={at}>{word(form.kind, `step.${at + 1}`)}</li>
        ))}
      </ol>
      {form.link !== undefined && (
        <a href={form.link} target="_blank" rel="noopener noreferrer">
          {t("open_link", { where: form.link.replace(/^https:\/\//u, "") })}
        </a>
      )}
    </div>
  );
}

/** Whose account it is, and what will not work with it as it is. */
function Found({ probed, texts }: { probed: Probed; texts: ChannelTexts }) {
  const { t, word } = texts;
  const name = cleanName(probed.name);
  const link = /^https?:\/\//u.test(probed.address);
  return (
    <div class="channel-found">
      <p>
        <Icon name="check" />
        <span>
          <strong>{t("tested")}.</strong> {name === "" ? t("tested_unnamed") : t("tested_as", { name })}{" "}
          {link ? (
            <a href={probed.address} target="_blank" rel="noopener noreferrer">
              {probed.address}
            </a>
          ) : (
            probed.address
          )}
        </span>
      </p>
      {probed.warnings.map((warning) => (
        <p key={warning} class="channel-warning">
          <Icon name="warning" />
          <span>{word("code", warning, t("warning", { word: warning }))}</span>
        </p>
      ))}
    </div>
  );
}

/** Asked once: shall what was not tested be saved? */
function Untested({ failed, onTest, onSave }: { failed: boolean; onTest: () => void; onSave: () => void }) {
  const { t } = useChannelTexts();
  const id = useId();
  const first = useRef<HTMLButtonElement>(null);
  useEffect(() => first.current?.focus(), []);
  return (
    <div class="channel-untested" role="group" aria-labelledby={id}>
      <p id={id}>
        <strong>{t(failed ? "untested_failed" : "untested")}</strong> {t("untested_next")}
      </p>
      <div class="actions">
        <button type="button" class="button" onClick={onSave}>
          {t("save_anyway")}
        </button>
        <button type="button" ref={first} class="button primary" onClick={onTest}>
          {t("test_first")}
        </button>
      </div>
    </div>
  );
}
