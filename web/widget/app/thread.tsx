// The messages: the server's in the order of seq, then our own that it has not acknowledged.

import { Component } from "preact";
import type { Shown } from "../../shared/frames/visitor";
import type { ChatDesk } from "./chat";
import { Icon } from "./icon";
import { piecesOf } from "./links";
import type { SayItem } from "./outbox";
import type { Chat } from "./store";
import type { Speech } from "./texts";

export interface ThreadProps {
  desk: ChatDesk;
  chat: Chat;
  speech: Speech;
  now: number;
}

/** What the list looked like before new messages came. */
interface View {
  height: number;
  top: number;
  atEnd: boolean;
}

/** So near the end or the beginning, in pixels, the reader means to be there. */
const NEAR = 64;

/** Of the chat, what the list shows. */
const PARTS = ["thread", "outbox", "typing", "more", "paging"] as const;

export class Thread extends Component<ThreadProps, { away: boolean }> {
  override state = { away: false };
  private log!: HTMLElement;
  /** Tells once at the beginning, and whenever a keyboard, a banner or a longer draft takes room: who was at the end stays there. */
  private readonly room = new ResizeObserver(() => {
    if (!this.state.away) this.toEnd();
  });

  override shouldComponentUpdate({ chat }: ThreadProps, { away }: { away: boolean }): boolean {
    // Every key in the composer comes by here.
    return away !== this.state.away || PARTS.some((part) => chat[part] !== this.props.chat[part]);
  }

  override getSnapshotBeforeUpdate(): View {
    const { scrollHeight: height, scrollTop: top, clientHeight } = this.log;
    return { height, top, atEnd: height - top - clientHeight < NEAR };
  }

  override componentDidUpdate(before: ThreadProps, _: unknown, view: View): void {
    const { log } = this;
    const spoke = this.props.chat.outbox.length > before.chat.outbox.length;
    const paged = before.chat.thread[0]?.seq !== this.props.chat.thread[0]?.seq && before.chat.thread.length > 0;
    if (view.atEnd || spoke) this.toEnd();
    // What was read stays where it was; the earlier messages grow out above it.
    else if (paged) log.scrollTop = view.top + log.scrollHeight - view.height;
  }

  private readonly toEnd = (): void => {
    this.log.scrollTop = this.log.scrollHeight;
  };

  private readonly hold = (log: HTMLElement | null): void => {
    if (log === null) this.room.disconnect();
    else this.room.observe((this.log = log));
  };

  private readonly onScroll = (): void => {
    const { top, atEnd } = this.getSnapshotBeforeUpdate();
    if (top < NEAR && !atEnd) this.props.desk.older();
    if (atEnd === this.state.away) this.setState({ away: !atEnd });
  };

  override render({ desk, chat, speech, now }: ThreadProps) {
    const { text } = speech;
    const said = chat.outbox.filter((item) => item.t === "say");
    const silent = chat.thread.length + said.length === 0;
    return (
      <div class="middle">
        <div
          class="log"
          role="log"
          aria-live="polite"
          aria-label={text("messages")}
          aria-busy={chat.paging}
          tabIndex={0}
          onScroll={this.onScroll}
          ref={this.hold}
        >
          {chat.more && (
            <button class="plain" disabled={chat.paging} onClick={desk.older}>
              {text(chat.paging ? "loading" : "older")}
            </button>
          )}
          {silent && <p class="blank">{text("greeting")}</p>}
          <ol>
            {chat.thread.map((message, at) => (
              <Message
                key={message.id ?? message.seq}
                {...{ desk, message, speech, now }}
                previous={chat.thread[at - 1]}
                newest={at === chat.thread.length - 1}
              />
            ))}
            {said.map((item) => (
              <Unsent key={item.id} {...{ desk, item, speech }} />
            ))}
          </ol>
          {chat.typing !== null && <p class="typing">{text(chat.typing ? "typing" : "typing_unnamed", { name: chat.typing })}</p>}
        </div>
        {this.state.away && (
          <button class="newest" aria-label={text("newest")} onClick={this.toEnd}>
            <Icon lines="M12 5v14M6 13l6 6 6-6" />
          </button>
        )}
      </div>
    );
  }
}

interface MessageProps {
  desk: ChatDesk;
  message: Shown;
  previous: Shown | undefined;
  newest: boolean;
  speech: Speech;
  now: number;
}

function Message({ desk, message, previous, newest, speech, now }: MessageProps) {
  const { who, at, name } = message;
  const day = new Date(at).toDateString();
  const newDay = previous === undefined || new Date(previous.at).toDateString() !== day;
  const newVoice = newDay || previous.who !== who || previous.name !== name;
  return [
    newDay && <li class="day">{speech.day(at, now)}</li>,
    <li class={`${who}${newVoice ? " first" : ""}`}>
      {who === "me" ? <span class="aside">{speech.text("me")}: </span> : newVoice && name && <b>{name}</b>}
      <Words text={message.text} />
      <small>
        <time dateTime={new Date(at).toISOString()}>{speech.time(at)}</time>
        {who === "me" && (
          <span role="img" aria-label={speech.text("sent")}>
            {" ✓"}
          </span>
        )}
      </small>
      {newest && message.buttons && (
        <div>
          {message.buttons.map(({ label, value }) => (
            <button class="main" onClick={() => desk.press(value)}>
              {label}
            </button>
          ))}
        </div>
      )}
    </li>,
  ];
}

interface UnsentProps {
  desk: ChatDesk;
  item: SayItem;
  speech: Speech;
}

function Unsent({ desk, item, speech: { text } }: UnsentProps) {
  const reason = item.failed === "unreadable" ? text("unreadable") : item.failed;
  return (
    <li class={`me first ${reason ? "failed" : "sending"}`}>
      <span class="aside">{text("me")}: </span>
      <Words text={item.text} />
      {reason ? (
        <small role="alert">
          {text("failed")}: {reason}
          <br />
          <button class="plain" onClick={() => desk.retry(item.id)}>
            {text("retry")}
          </button>{" "}
          <button class="plain" onClick={() => desk.discard(item.id)}>
            {text("discard")}
          </button>
        </small>
      ) : (
        <small>{text("sending")}…</small>
      )}
    </li>
  );
}

function Words({ text }: { text: string }) {
  return (
    <p dir="auto">
      {piecesOf(text).map(({ text: piece, href }) =>
        href === undefined ? (
          piece
        ) : (
          <a href={href} target="_blank" rel="noopener noreferrer nofollow">
            {piece}
          </a>
        ),
      )}
    </p>
  );
}
