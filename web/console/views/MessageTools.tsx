// What is done to one message, and the message while it is being worded anew.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Shown } from "../../shared/frames/operator";
import { leftOf, TEXT_MAX } from "../composer";
import type { MessageVerb } from "../extras";
import { Icon, type IconName } from "./bits";
import { useComposing } from "./composing";
import { useDesk, useWords } from "./context";
import { Dialog } from "./Dialog";

const SIGNS: Readonly<Record<MessageVerb, IconName>> = { answer: "reply", reword: "edit", take_back: "trash" };

interface ToolsProps {
  seq: number;
  verbs: readonly MessageVerb[];
  /** Tab comes here; arrows go on from it to the other messages. */
  stop: boolean;
  onFocus: () => void;
  onChoose: (verb: MessageVerb) => void;
}

/** They show when the message is pointed at, or when the keyboard is there. */
export function Tools({ seq, verbs, stop, onFocus, onChoose }: ToolsProps) {
  const { t } = useWords();

  function onKeyDown(event: KeyboardEvent): void {
    if (event.altKey || event.ctrlKey || event.metaKey || !(event.target instanceof HTMLElement)) return;
    const here = [...(event.target.parentElement?.querySelectorAll("button") ?? [])];
    const all = [...(event.target.closest(".messages")?.querySelectorAll<HTMLElement>(".tools") ?? [])];
    const at = here.findIndex((one) => one === event.target);
    const row = all.findIndex((one) => one.contains(event.target as HTMLElement));
    const beside = { ArrowLeft: here[at - 1], ArrowRight: here[at + 1] }[event.key];
    const other = { ArrowUp: all[row - 1], ArrowDown: all[row + 1], Home: all[0], End: all.at(-1) }[event.key];
    const to = beside ?? other?.querySelector("button");
    if (to === undefined || to === null) return;
    event.preventDefault();
    to.focus();
    to.closest(".message")?.scrollIntoView({ block: "nearest" });
  }

  return (
    <span class="tools" role="toolbar" aria-label={t("message.tools")} data-tools={seq} onKeyDown={onKeyDown} onFocusIn={onFocus}>
      {verbs.map((verb, at) => (
        <button
          key={verb}
          type="button"
          class="button quiet icon-only"
          tabIndex={stop && at === 0 ? 0 : -1}
          data-verb={verb}
          aria-label={t(`message.${verb}`)}
          title={t(`message.${verb}`)}
          onClick={() => onChoose(verb)}
        >
          <Icon name={SIGNS[verb]} />
        </button>
      ))}
    </span>
  );
}

/** In the message's own place. Enter keeps it, Escape leaves it as it was. */
export function RewordForm({ message, session }: { message: Shown; session: string }) {
  const { t } = useWords();
  const { connection } = useDesk();
  const { reword, can } = useComposing();
  const [text, setText] = useState(message.text);
  const area = useRef<HTMLTextAreaElement>(null);
  const left = leftOf(text, Math.min(TEXT_MAX, can?.text_max ?? TEXT_MAX));
  const ready = text.trim() !== "" && left >= 0;

  useEffect(() => {
    const box = area.current;
    box?.focus();
    box?.setSelectionRange(box.value.length, box.value.length);
  }, []);
  useLayoutEffect(() => {
    const box = area.current;
    if (box === null) return;
    box.rows = 1;
    const lineHeight = parseFloat(getComputedStyle(box).lineHeight);
    box.rows = Math.min(12, Math.max(1, Math.round((box.scrollHeight - 12) / lineHeight)));
  }, [text]);

  function leave(): void {
    const pane = area.current?.closest(".messages");
    reword(0);
    // Back to where it was begun.
    setTimeout(() => pane?.querySelector<HTMLElement>(`[data-tools="${message.seq}"] [data-verb="reword"]`)?.focus());
  }

  function save(): void {
    if (!ready) return;
    if (text.trim() !== message.text) connection.deed(session, "reword", { text: text.trim(), message: message.seq });
    leave();
  }

  return (
    <form
      class="reword"
      onSubmit={(event) => {
        event.preventDefault();
        save();
      }}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || event.isComposing) return;
        event.stopPropagation();
        leave();
      }}
    >
      <textarea
        ref={area}
        dir="auto"
        rows={1}
        value={text}
        aria-label={t("message.new_words")}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
          event.preventDefault();
          save();
        }}
      />
      <span class="reword-foot">
        {left <= 500 && (
          <span class={left < 0 ? "counter over" : "counter"} role="status">
            {left < 0 ? t("composer.over", { count: -left }) : t("composer.left", { count: left })}
          </span>
        )}
        <button type="button" class="button quiet small" onClick={leave}>
          {t("common.cancel")}
        </button>
        <button type="submit" class="button primary small" disabled={!ready}>
          {t("message.save")}
        </button>
      </span>
    </form>
  );
}

export function TakeBackDialog({ message, session, onClose }: { message: Shown; session: string; onClose: () => void }) {
  const { t } = useWords();
  const { connection } = useDesk();
  return (
    <Dialog title={t("message.take_back_title")} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          connection.deed(session, "take_back", { message: message.seq });
          onClose();
        }}
      >
        <p>{t("message.take_back_text")}</p>
        <div class="actions">
          <button type="button" class="button" onClick={onClose}>
            {t("common.cancel")}
          </button>
          <button type="submit" class="button danger">
            {t("message.take_back")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
