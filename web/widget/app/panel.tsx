// The panel: what stands where. Its parts are beside it; what they show is the store's.

import type { ChatDesk } from "./chat";
import { Composer } from "./composer";
import { DetailsForm } from "./form";
import { fieldsToAsk, type Chat } from "./store";
import type { Speech } from "./texts";
import { Thread } from "./thread";

export interface PanelProps {
  desk: ChatDesk;
  speech: Speech;
  now: number;
  /** Absent on the public page: there is nothing to close. */
  onClose?: (() => void) | undefined;
}

export function Panel({ desk, speech, now, onClose }: PanelProps) {
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
        {onClose && (
          <button type="button" class="close" aria-label={text("close")} onClick={onClose}>
            <svg viewBox="0 0 24 24" aria-hidden="true">
              <path d="M6 6 18 18M18 6 6 18" />
            </svg>
          </button>
        )}
      </header>
      {chat.link === "missing" ? <p class="blank">{text("missing")}</p> : <Conversation {...{ desk, chat, speech, now }} />}
    </div>
  );
}

function Conversation({ desk, chat, speech, now }: { desk: ChatDesk; chat: Chat; speech: Speech; now: number }) {
  const { text } = speech;
  const asked = fieldsToAsk(chat);
  if (!chat.met && chat.link === "connecting") return <p class="blank">{text("connecting")}</p>;
  return (
    <>
      {/* There before it has anything to say: a status that comes with its words is not read aloud. */}
      <p class="banner" role="status">
        {bannerOf(chat, speech, now)}
      </p>
      <Thread {...{ desk, chat, speech, now }} />
      {asked.length > 0 ? <DetailsForm {...{ desk, chat, speech }} fields={asked} /> : <Composer {...{ desk, chat, speech }} />}
    </>
  );
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
