// The parts that several pages of channels have.

import type { ComponentChildren } from "preact";
import { CopyButton } from "../views/CopyButton";
import { Icon, type IconName } from "../views/bits";
import type { Channel, Line } from "./rest";
import { type Standing, standingOf } from "./standing";
import { useChannelTexts } from "./texts";

const LOOKS: Readonly<Record<Standing, { icon: IconName; tone: string }>> = {
  refused: { icon: "warning", tone: "bad" },
  waiting: { icon: "clock", tone: "warn" },
  unknown: { icon: "question", tone: "" },
  well: { icon: "check", tone: "good" },
  open: { icon: "check", tone: "good" },
  off: { icon: "pause", tone: "" },
};

/** How a channel is, in a word. */
export function StateChip({ channel }: { channel: Channel }) {
  const { t } = useChannelTexts();
  const standing = standingOf(channel);
  const { icon, tone } = LOOKS[standing];
  return (
    <span class={`chip channel-state ${tone}`} data-state={standing}>
      <Icon name={icon} />
      {t(`state.${standing}`)}
    </span>
  );
}

export function lineNamed(lines: readonly Line[], id: string): string {
  return lines.find((line) => line.id === id)?.name ?? "";
}

/** A part of a page with a title. */
export function Part({ id, title, children }: { id: string; title: string; children: ComponentChildren }) {
  return (
    <section class="channel-part" aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {children}
    </section>
  );
}

/** Something to be copied to another place. */
export function CopyLine({ text, link = false }: { text: string; link?: boolean }) {
  const { t } = useChannelTexts();
  return (
    <p class="channel-copy">
      <code>{link ? <a href={text}>{text}</a> : text}</code>
      <CopyButton text={text} label={t("copy")} done={t("copied")} failed={t("copy_failed")} />
    </p>
  );
}

export function Alert({ text, id }: { text: string; id?: string }) {
  return (
    <p class="problem" role="alert" id={id}>
      {text}
    </p>
  );
}
