import { useEffect, useRef, useState } from "preact/hooks";
import { Problem } from "../api";
import { go, hashOf } from "../routes";
import { Busy, Empty, Icon } from "../views/bits";
import { useWords } from "../views/context";
import type { Watched } from "../watch";
import { ChannelForm } from "./ChannelForm";
import type { House } from "./ChannelsPage";
import { formOf, KINDS } from "./kinds/all";
import { notify } from "./news";
import { probe } from "./rest";
import { Sign } from "./Sign";
import { useChannelTexts } from "./texts";

interface ConnectProps {
  /** Empty: it is still to be chosen. */
  kind: string;
  house: Watched<House>;
  onRetry: () => void;
  onConnected: (id: string) => void;
}

/** A new channel: of which kind, and with which settings. */
export function ConnectPage({ kind, house, onRetry, onConnected }: ConnectProps) {
  const words = useWords();
  const { t, word } = useChannelTexts();
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  const { value, failed, problem } = house;
  return (
    <section class="channels narrow" aria-labelledby="connect-title">
      <header class="channel-head">
        <a class="channel-back" href={hashOf({ screen: "channels", at: kind === "" ? "" : "new" })}>
          <Icon name="back" />
          {kind === "" ? t("back") : t("choose_kind")}
        </a>
        <div class="channel-title">
          {kind !== "" && <Sign kind={kind} />}
          <h1 id="connect-title" ref={heading} tabIndex={-1}>
            {kind === "" ? t("choose_kind") : t("connect_kind", { kind: word("kind", kind) })}
          </h1>
        </div>
        {kind !== "" && <p class="hint">{word("about", kind, "")}</p>}
      </header>
      {kind === "" ? (
        <Choice />
      ) : value === null ? (
        failed ? (
          <Empty icon="warning" title={t("failed")} next={problem || words.t("app.unreachable_next")}>
            <button type="button" class="button" onClick={onRetry}>
              {words.t("app.retry")}
            </button>
          </Empty>
        ) : (
          <Busy text={t("loading")} />
        )
      ) : (
        <ChannelForm
          form={formOf(kind)}
          channel={null}
          lines={value.lines}
          taken={new Set(value.channels.map((one) => one.slug))}
          onSaved={(channel) => {
            onConnected(channel.id);
            notify(channel.id);
            go({ screen: "channels", at: channel.id });
          }}
        />
      )}
    </section>
  );
}

function Choice() {
  const { t, word } = useChannelTexts();
  const missing = useMissing();
  return (
    <ul class="kind-choice">
      {KINDS.map(({ kind }) => {
        const inside = (
          <>
            <Sign kind={kind} />
            <span>
              <strong>{word("kind", kind)}</strong>
              <span class="hint">{word("about", kind)}</span>
              {missing.has(kind) && <span class="chip faint">{t("not_here")}</span>}
            </span>
          </>
        );
        return (
          <li key={kind}>
            {missing.has(kind) ? (
              // No link leads where nothing can be done; read out it is one that is off.
              <a class="kind off" role="link" aria-disabled="true">
                {inside}
              </a>
            ) : (
              <a class="kind" href={hashOf({ screen: "channels", at: `new/${kind}` })}>
                {inside}
              </a>
            )}
          </li>
        );
      })}
    </ul>
  );
}

/** The kinds that this server does not know: it complains of the kind, and not of settings, when it is asked with none. */
function useMissing(): ReadonlySet<string> {
  const [missing, setMissing] = useState<ReadonlySet<string>>(new Set());
  useEffect(() => {
    let here = true;
    for (const { kind, probed } of KINDS) {
      // One without a provider cannot be asked so; every server has them.
      if (!probed) continue;
      probe(kind, {}, null).catch((error: unknown) => {
        const unknown = error instanceof Problem && error.status === 422 && error.fields.some(({ field }) => field === "kind");
        if (here && unknown) setMissing((before) => new Set([...before, kind]));
      });
    }
    return () => {
      here = false;
    };
  }, []);
  return missing;
}
