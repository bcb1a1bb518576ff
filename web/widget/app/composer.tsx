// Where the visitor writes. Enter sends, Shift+Enter begins a new line.

import { lengthOf } from "./characters";
import type { ChatDesk } from "./chat";
import { Icon } from "./icon";
import type { Chat } from "./store";
import type { Speech } from "./texts";

export interface ComposerProps {
  desk: ChatDesk;
  chat: Chat;
  speech: Speech;
}

/** So close to the limit, the visitor is told how many characters are left. */
const COUNT_FROM = 500;

export function Composer({ desk, chat, speech: { text } }: ComposerProps) {
  const left = chat.textMax - lengthOf(chat.draft);
  const submit = (event: Event) => {
    event.preventDefault();
    desk.say(chat.draft);
  };
  const count = left < 0 ? text("over", { count: -left }) : left < COUNT_FROM ? text("left", { count: left }) : "";
  return (
    <form class="composer" onSubmit={submit}>
      <textarea
        rows={1}
        value={chat.draft}
        placeholder={text("message")}
        aria-label={text("message")}
        aria-invalid={left < 0}
        onInput={(event) => desk.draft(event.currentTarget.value)}
        onKeyDown={(event) => {
          // While a word is being composed (Chinese, Japanese, accents), Enter belongs to the input method.
          if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
        }}
      />
      <button class="main" aria-label={text("send")} disabled={left < 0 || chat.draft.trim() === ""}>
        <Icon lines="M12 19V5M6 11l6-6 6 6" />
      </button>
      {count && (
        <small {...(left < 0 && { role: "alert", class: "complaint" })}>
          {count}
        </small>
      )}
    </form>
  );
}
