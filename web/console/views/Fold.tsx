import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";

interface FoldProps {
  label: string;
  /** What stands there while it is folded. */
  head: ComponentChildren;
  /** Given what folds it. */
  children: (fold: () => void) => ComponentChildren;
  onUnfold?: () => void;
}

/** A small page that unfolds from the top bar, and folds when the focus leaves it or Escape is pressed. */
export function Fold({ label, head, children, onUnfold }: FoldProps) {
  const details = useRef<HTMLDetailsElement>(null);

  function fold(): void {
    if (details.current !== null) details.current.open = false;
  }

  return (
    <details
      class="menu"
      ref={details}
      onToggle={(event) => {
        if (event.currentTarget.open) onUnfold?.();
      }}
      onFocusOut={(event) => {
        if (event.relatedTarget instanceof Node && !event.currentTarget.contains(event.relatedTarget)) fold();
      }}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || details.current?.open !== true) return;
        event.stopPropagation();
        fold();
        details.current.querySelector("summary")?.focus();
      }}
    >
      <summary aria-label={label}>{head}</summary>
      <div class="menu-body">{children(fold)}</div>
    </details>
  );
}
