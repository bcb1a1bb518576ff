// The panel: what stands where. Its parts are beside it; what they show is the store's.

import type { ComponentChildren } from "preact";
import type { ChatDesk } from "./chat";
import { Composer } from "./composer";
import { DetailsForm } from "./form";
import { Icon } from "./icon";
import { fieldsToAsk, type Chat } from "./store";
import type { Speech, Text } from "./texts";
import { Thread } from "./thread";

export interface PanelProps {
  desk: ChatDesk;
  speech: Speech;
  now: number;
  /** What stands in place of the conversation. */
  view: ComponentChildren;
  /** What is to be said before anything else. */
  notice: Text | "";
  onCall: () => void;
  /** Absent on the public page: there is nothing to close. */
  onClose?: (() => void) | undefined;
}

export function Panel(props: PanelProps) {
  const { desk, speech, view, onCall, onClose } = props;
  const chat = desk.chat();
  const { text } = speech;
  const title = chat.line || text("chat");
  return (
    <div class="panel" role={onClose ? "dialog" : "main"} aria-label={title} lang={speech.lang} tabIndex={-1}>
      <header>
        <div>
          <h1>{title}</h1>
          <p role="status">{standingOf(chat, speech)}</p>
        </div>
        {chat.callback && (
          <button class="close" aria-label={text("call")} aria-pressed={!!view} onClick={onCall}>
            <Icon lines="M4 4h5l2 5-3 2a11 11 0 0 0 5 5l2-3 5 2v5C11 20 4 13 4 4" />
          </button>
        )}
        {onClose && (
          <button class="close" aria-label={text("close")} onClick={onClose}>
            <Icon lines="M6 6 18 18M18 6 6 18" />
          </button>
        )}
      </header>
      {chat.link === "missing" || chat.link === "connecting" ? (
        <p class="blank">{text(chat.link)}</p>
      ) : (
        <Conversation {...props} chat={chat} />
      )}
    </div>
  );
}

function Conversation({ desk, chat, speech, now, view, notice }: PanelProps & { chat: Chat }) {
  const { text } = speech;
  const asked = fieldsToAsk(chat);
  return [
    // There before it has anything to say: a status that comes with its words is not read aloud.
    <p class="banner" role="status">
      {notice ? text(notice) : bannerOf(chat, speech, now)}
    </p>,
    view,
    // Out of sight it keeps what was typed, and its place.
    <div class="talk" hidden={!!view}>
      <Thread {...{ desk, chat, speech, now }} />
      {asked.length > 0 ? <DetailsForm {...{ desk, chat, speech }} fields={asked} /> : <Composer {...{ desk, chat, speech }} />}
    </div>,
  ];
}

function standingOf({ standing, operator }: Chat, { text }: Speech): string {
  if (standing === "none") return "";
  return text(standing === "active" && operator === "" ? "active_unnamed" : standing, { name: operator });
}

function bannerOf({ link, hold, opensAt }: Chat, { text, time, day }: Speech, now: number): string {
  if (link === "offline") return text("offline");
  if (hold !== null && hold.until < Infinity) return text(hold.code === "too_many" ? "too_many" : "unavailable", { time: time(hold.until, true) });
  return opensAt > now ? text("opens", { day: day(opensAt, now), time: time(opensAt) }) : "";
}
