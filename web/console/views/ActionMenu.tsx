import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Icon, type IconName } from "./bits";

export interface MenuItem {
  key: string;
  icon: IconName;
  text: string;
  /** As the eye reads it: `Alt+R`. */
  keys?: string;
  disabled?: boolean;
  danger?: boolean;
  onChoose: () => void;
}

interface ActionMenuProps {
  /** Of the button. */
  id: string;
  label: string;
  keys?: string;
  /** It opens upwards: there is no room under it. */
  up?: boolean;
  items: readonly MenuItem[];
}

/** A button with a menu: arrows move, a letter jumps, Enter chooses, Escape and Tab leave. */
export function ActionMenu({ id, label, keys, up = false, items }: ActionMenuProps) {
  const [open, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const menu = useRef<HTMLDivElement>(null);
  // At once: the next key may come before the screen is painted.
  useLayoutEffect(() => {
    if (open) choices()[0]?.focus();
  }, [open]);

  function choices(): HTMLButtonElement[] {
    return [...(menu.current?.querySelectorAll<HTMLButtonElement>("[role=menuitem]") ?? [])];
  }

  function leave(): void {
    setOpen(false);
    button.current?.focus();
  }

  function onKeyDown(event: KeyboardEvent): void {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const all = choices();
    const at = all.findIndex((one) => one === document.activeElement);
    const last = all.length - 1;
    const to = { ArrowDown: at === last ? 0 : at + 1, ArrowUp: at <= 0 ? last : at - 1, Home: 0, End: last }[event.key];
    if (event.key === "Escape") leave();
    else if (event.key === "Tab") {
      setOpen(false);
      return;
    } else if (to !== undefined) all[to]?.focus();
    else if (event.key.length === 1 && event.key !== " ") jump(all, at, event.key);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  return (
    <div
      class="action-menu"
      onFocusOut={(event) => {
        if (!(event.relatedTarget instanceof Node) || !event.currentTarget.contains(event.relatedTarget)) setOpen(false);
      }}
    >
      <button
        ref={button}
        type="button"
        class="button quiet"
        id={id}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-keyshortcuts={keys}
        aria-label={label}
        title={keys === undefined ? label : `${label} (${keys})`}
        // A button pressed by the pointer has no focus in every browser, and then nothing would close the menu.
        onMouseDown={(event) => {
          event.preventDefault();
          event.currentTarget.focus();
        }}
        onClick={() => setOpen(!open)}
        onKeyDown={(event) => {
          if (event.key !== "ArrowDown") return;
          event.preventDefault();
          event.stopPropagation();
          setOpen(true);
        }}
      >
        <Icon name="more" />
      </button>
      {open && (
        <div ref={menu} class={up ? "menu-body actions-body up" : "menu-body actions-body"} role="menu" aria-label={label} onKeyDown={onKeyDown}>
          {items.map((item) => (
            <button
              key={item.key}
              type="button"
              role="menuitem"
              class={item.danger === true ? "button quiet danger" : "button quiet"}
              tabIndex={-1}
              aria-disabled={item.disabled}
              aria-keyshortcuts={item.keys}
              onClick={() => {
                if (item.disabled === true) return;
                leave();
                item.onChoose();
              }}
            >
              <Icon name={item.icon} />
              <span class="item-text">{item.text}</span>
              {item.keys !== undefined && <kbd aria-hidden="true">{item.keys}</kbd>}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}

/** To the next choice that begins with *letter*, after the one at *at*. */
function jump(all: readonly HTMLButtonElement[], at: number, letter: string): void {
  const turned = [...all.slice(at + 1), ...all.slice(0, at + 1)];
  turned.find((one) => one.querySelector(".item-text")?.textContent.toLowerCase().startsWith(letter.toLowerCase()))?.focus();
}
