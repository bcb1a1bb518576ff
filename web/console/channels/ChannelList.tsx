import { useEffect, useRef } from "preact/hooks";
import { hashOf } from "../routes";
import { cleanName } from "../text";
import { Busy, Empty, Icon } from "../views/bits";
import { useNow, useWords } from "../views/context";
import type { Watched } from "../watch";
import type { House } from "./ChannelsPage";
import { lineNamed, StateChip } from "./parts";
import type { Channel } from "./rest";
import { Sign } from "./Sign";
import { shelved, standingOf } from "./standing";
import { adviceOf, useChannelTexts } from "./texts";

interface ListProps {
  house: Watched<House>;
  /** Where one comes from: a channel's id, or the way to a new one; empty: from elsewhere. */
  from: string;
  onRetry: () => void;
}

/** All channels, trouble first. */
export function ChannelList({ house, from, onRetry }: ListProps) {
  const words = useWords();
  const { t } = useChannelTexts();
  const { value, readAt, failed, problem } = house;
  const page = useRef<HTMLElement>(null);
  useEffect(() => {
    if (from === "") return;
    const row = page.current?.querySelector<HTMLElement>(`[data-channel="${from}"] a`);
    (row ?? page.current?.querySelector("h1"))?.focus();
  }, []);
  const connect = (
    <a class="button primary" href={hashOf({ screen: "channels", at: "new" })}>
      {t("connect")}
    </a>
  );
  return (
    <section ref={page} class="channels" aria-labelledby="channels-title">
      <header class="channels-head">
        <div>
          <h1 id="channels-title" tabIndex={-1}>
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
        {value !== null && value.channels.length > 0 && connect}
      </header>
      {value === null && !failed && <Busy text={t("loading")} />}
      {value === null && failed && (
        <Empty icon="warning" title={t("failed")} next={problem || words.t("app.unreachable_next")}>
          <button type="button" class="button" onClick={onRetry}>
            {words.t("app.retry")}
          </button>
        </Empty>
      )}
      {value !== null && value.channels.length === 0 && (
        <Empty icon="channel" title={t("empty")} next={t("empty_next")}>
          {connect}
        </Empty>
      )}
      {value !== null &&
        shelved(value.channels).map(({ shelf, items }) => (
          <section key={shelf} class="channel-shelf" aria-labelledby={`shelf-${shelf}`}>
            <h2 id={`shelf-${shelf}`}>
              {t(`shelf.${shelf}`)} <small class="hint">{words.number(items.length)}</small>
            </h2>
            <ul class="channel-list">
              {items.map((channel) => (
                <Row key={channel.id} channel={channel} line={lineNamed(value.lines, channel.line_id)} />
              ))}
            </ul>
          </section>
        ))}
    </section>
  );
}

function Row({ channel, line }: { channel: Channel; line: string }) {
  const words = useWords();
  const texts = useChannelTexts();
  const { t, word } = texts;
  const now = useNow(60_000);
  const { health } = channel;
  const standing = standingOf(channel);
  const troubled = standing === "refused" || standing === "waiting";
  const since = health?.since ? Date.parse(health.since) : null;
  const came = health?.came_at ? Date.parse(health.came_at) : null;
  const trouble = health !== null && troubled ? adviceOf(texts, health.code, health.problem) : "";
  return (
    <li class={`channel-row ${standing}`} data-channel={channel.id}>
      <a href={hashOf({ screen: "channels", at: channel.id })}>
        <Sign kind={channel.kind} />
        <span class="channel-names">
          <strong>
            <bdi>{cleanName(channel.name)}</bdi>
          </strong>
          <span class="hint">
            {word("kind", channel.kind)} · <bdi>{cleanName(line) || t("no_line")}</bdi>
          </span>
        </span>
        <span class="channel-how">
          <StateChip channel={channel} />
          {troubled && since !== null && (
            <time class="hint" dateTime={health?.since ?? undefined} title={words.dateTime(since)}>
              {t("since", { time: words.short(since, now) })}
            </time>
          )}
        </span>
        {came !== null && (
          <time class="hint channel-came" dateTime={health?.came_at ?? undefined} title={t("last_wrote", { time: words.dateTime(came) })}>
            {t("wrote", { time: words.short(came, now) })}
          </time>
        )}
        {trouble !== "" && <span class={`channel-trouble ${standing}`}>{trouble}</span>}
      </a>
    </li>
  );
}
