import { useEffect, useRef, useState } from "preact/hooks";
import { Problem } from "../api";
import { hashOf } from "../routes";
import { cleanName } from "../text";
import { Busy, Empty, Icon } from "../views/bits";
import { useWords } from "../views/context";
import { Dialog } from "../views/Dialog";
import { useReading } from "../views/reading";
import { ChannelForm } from "./ChannelForm";
import { groupsOf, shownIn } from "./forms";
import { formOf } from "./kinds/all";
import { Letters } from "./Letters";
import { notify, onNews } from "./news";
import { Alert, CopyLine, lineNamed, Part, StateChip } from "./parts";
import { type Channel, changeChannel, channel as readChannel, type ChannelDetail, type Line, TO_SEND_MAX } from "./rest";
import { Sign } from "./Sign";
import { standingOf } from "./standing";
import { adviceOf, problemSaid, useChannelTexts } from "./texts";

const EVERY_MS = 30_000;
const UNKNOWN_MS = 5_000;
const NOBODYS: ReadonlySet<string> = new Set();

interface PageProps {
  id: string;
  lines: readonly Line[];
  /** It was connected just now. */
  fresh: boolean;
  onLoggedOut: () => void;
}

/** One channel: how it is, what is set of it, and what came by it and was not understood. */
export function ChannelPage({ id, lines, fresh, onLoggedOut }: PageProps) {
  const words = useWords();
  const { t } = useChannelTexts();
  const [{ value, failed, problem, readAt }, renew] = useReading(() => readOrMissing(id), EVERY_MS, onLoggedOut, id);
  const [changed, setChanged] = useState<Channel | null>(null);
  useEffect(() => onNews((about) => about === id && renew()), [id]);
  // How a new one is comes soon, and is told by nobody when it is well.
  const unknown = value !== null && value !== "missing" && standingOf(value) === "unknown";
  useEffect(() => {
    if (!unknown) return undefined;
    const timer = setTimeout(renew, UNKNOWN_MS);
    return () => clearTimeout(timer);
  }, [unknown, readAt]);

  const back = (
    <a class="channel-back" href={hashOf({ screen: "channels", at: "" })}>
      <Icon name="back" />
      {t("back")}
    </a>
  );
  if (value === null || value === "missing") {
    return (
      <section class="channels narrow">
        <header class="channel-head">{back}</header>
        {value === "missing" ? (
          <Empty icon="channel" title={t("missing")} next={t("missing_next")} />
        ) : failed ? (
          <Empty icon="warning" title={t("channel_failed")} next={problem || words.t("app.unreachable_next")}>
            <button type="button" class="button" onClick={renew}>
              {words.t("app.retry")}
            </button>
          </Empty>
        ) : (
          <Busy text={t("loading")} />
        )}
      </section>
    );
  }

  // What was saved is shown at once, until it has been read.
  const channel: ChannelDetail = changed !== null && changed.version > value.version ? { ...value, ...changed } : value;
  const form = formOf(channel.kind);
  const groups = groupsOf(form, channel);
  const hooked = form.hooked?.(shownIn(form, groups, channel, {})) === true;

  function saved(now: Channel): void {
    setChanged(now);
    notify(now.id);
  }

  return (
    <section class="channels narrow" aria-labelledby="channel-title">
      <header class="channel-head">
        {back}
        <Title channel={channel} line={lineNamed(lines, channel.line_id)} fresh={fresh} onChanged={saved} />
        <p role="status" class={failed ? "stale" : "unseen"}>
          {failed && (
            <>
              <Icon name="warning" />
              {words.t("board.stale", { time: words.exact(readAt, Date.now()) })}
            </>
          )}
        </p>
      </header>
      <Health channel={channel} />
      <Part id="settings-title" title={t("settings")}>
        <ChannelForm key={channel.kind} form={form} channel={channel} lines={lines} taken={NOBODYS} onSaved={saved} />
      </Part>
      {hooked && (
        <Part id="hook-title" title={t("hook")}>
          <CopyLine text={channel.hook || `${location.origin}/hooks/${channel.id}`} />
          <p class="hint">{t("hook_text")}</p>
        </Part>
      )}
      {channel.kind === "widget" && (
        <Part id="snippet-title" title={t("snippet")}>
          <p>{t("snippet_text")}</p>
          <CopyLine text={`<script src="${location.origin}/widget.js" data-line="${channel.slug}" async></script>`} />
          <p>{t("chat_page")}</p>
          <CopyLine text={`${location.origin}/chat/${channel.slug}`} link />
        </Part>
      )}
      <Letters channel={channel.id} onLoggedOut={onLoggedOut} />
    </section>
  );
}

async function readOrMissing(id: string): Promise<ChannelDetail | "missing"> {
  try {
    return await readChannel(id);
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return "missing";
    throw error;
  }
}

interface TitleProps {
  channel: ChannelDetail;
  line: string;
  fresh: boolean;
  onChanged: (channel: Channel) => void;
}

/** What it is, and the switch. */
function Title({ channel, line, fresh, onChanged }: TitleProps) {
  const texts = useChannelTexts();
  const { t, word } = texts;
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const [said, setSaid] = useState(fresh ? t("connected") : "");
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);

  async function turn(active: boolean): Promise<void> {
    if (busy) return;
    setBusy(true);
    setProblem("");
    try {
      onChanged(await changeChannel(channel.id, { active }));
      setSaid(t(active ? "switched_on" : "switched_off"));
    } catch (error) {
      setProblem(problemSaid(texts, error));
    }
    setBusy(false);
    setAsking(false);
  }

  return (
    <>
      <div class="channel-title">
        <Sign kind={channel.kind} />
        <div>
          <h1 id="channel-title" ref={heading} tabIndex={-1}>
            <bdi>{cleanName(channel.name)}</bdi>
          </h1>
          <p class="hint">
            {word("kind", channel.kind)} · <bdi>{cleanName(line) || t("no_line")}</bdi> · <code>{channel.slug}</code>
          </p>
        </div>
        <StateChip channel={channel} />
        {channel.active ? (
          <button type="button" class="button" onClick={() => setAsking(true)}>
            {t("switch_off")}
          </button>
        ) : (
          <button type="button" class="button primary" aria-disabled={busy} onClick={() => void turn(true)}>
            {t("switch_on")}
          </button>
        )}
      </div>
      <p role="status" class={said === "" ? "unseen" : "channel-said"}>
        {said}
      </p>
      {problem !== "" && <Alert text={problem} />}
      {asking && <SwitchOff name={cleanName(channel.name)} busy={busy} onClose={() => setAsking(false)} onOff={() => void turn(false)} />}
    </>
  );
}

function SwitchOff({ name, busy, onClose, onOff }: { name: string; busy: boolean; onClose: () => void; onOff: () => void }) {
  const words = useWords();
  const { t } = useChannelTexts();
  return (
    <Dialog title={t("switch_off_title", { name })} onClose={onClose}>
      <p>{t("switch_off_text")}</p>
      <div class="actions">
        <button type="button" class="button" onClick={onClose}>
          {words.t("common.cancel")}
        </button>
        <button type="button" class="button danger" aria-disabled={busy} onClick={onOff}>
          {t("switch_off_submit")}
        </button>
      </div>
    </Dialog>
  );
}

/** How it is and has been, and what is to be done. */
function Health({ channel }: { channel: ChannelDetail }) {
  const words = useWords();
  const texts = useChannelTexts();
  const { t } = texts;
  const { health, to_send: waiting } = channel;
  const standing = standingOf(channel);
  const troubled = standing === "refused" || standing === "waiting";
  const time = (at: string): string => words.exact(Date.parse(at), Date.now());
  const advice = health !== null && troubled ? adviceOf(texts, health.code, health.problem) : "";
  const sentences = [
    standing === "well" || troubled ? (health?.since ? t(`health.${standing}`, { time: words.dateTime(Date.parse(health.since)) }) : "") : t(`health.${standing}`),
    health?.heard_at && troubled ? t("heard", { time: time(health.heard_at) }) : "",
    health?.came_at ? t("came", { time: words.dateTime(Date.parse(health.came_at)) }) : health !== null && standing !== "unknown" ? t("came_never") : "",
    waiting === 0 ? t("to_send_none") : waiting > TO_SEND_MAX ? t("to_send_many", { most: TO_SEND_MAX }) : t("to_send", { count: waiting }),
  ].filter((sentence) => sentence !== "");
  return (
    <section class={`channel-part channel-health ${standing}`} aria-labelledby="health-title">
      <h2 id="health-title">{t("health")}</h2>
      {advice !== "" && (
        <p class="channel-advice">
          <Icon name={standing === "refused" ? "warning" : "clock"} />
          <span>{advice}</span>
        </p>
      )}
      <p>{sentences.join(" ")}</p>
      {health !== null && troubled && health.problem !== "" && health.problem !== advice && (
        <p class="hint">
          {t("said_there")} <q>{health.problem}</q>
        </p>
      )}
    </section>
  );
}
