import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

interface DialogProps {
  title: string;
  onClose: () => void;
  /** Before Escape closes it; where that must not be, its default is prevented. */
  onEscape?: (event: Event) => void;
  /** Beside its own. */
  class?: string;
  children: ComponentChildren;
}

/** A question in front of everything. The browser's own dialog keeps the focus in and gives it back, and Escape leaves. */
export function Dialog({ title, onClose, onEscape, class: more = "", children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    return () => {
      // The browser gives the focus back when it closes, not when it is taken away with its question answered.
      setTimeout(() => {
        if (document.activeElement === document.body && before instanceof HTMLElement) before.focus();
      });
    };
  }, []);
  return (
    <dialog ref={dialog} class={`dialog ${more}`.trimEnd()} aria-labelledby={heading} onClose={onClose} onCancel={onEscape}>
      <h2 id={heading}>{title}</h2>
      {children}
    </dialog>
  );
}
