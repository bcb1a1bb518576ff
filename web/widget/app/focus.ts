// Where the keyboard is, when the panel opens and while it covers the page.

const REACHABLE = "button:enabled,a[href],input,textarea,[tabindex='0']";
/** Where a visitor begins: the form's first field, the composer, or where a view without either says. */
const BEGIN = "input,textarea,[data-begin]";

/** Where the panel covers the page; as in panel.css, to the letter: what is said twice weighs nothing. */
export const COVERS = "(max-width:480px),(max-height:480px)";

/** Put the focus where the visitor begins, or on the panel until there is such a place; return whether there is. */
export function focusIn(place: HTMLElement): boolean {
  const begin = place.querySelector<HTMLElement>(BEGIN);
  (begin ?? place.querySelector<HTMLElement>(".panel"))?.focus({ preventScroll: true });
  return begin !== null;
}

/** On a small screen the panel covers the page: Tab goes round inside it. */
export function keepFocusIn(place: HTMLElement, event: KeyboardEvent): void {
  if (event.key !== "Tab" || !matchMedia(COVERS).matches) return;
  const stops = [...place.querySelectorAll<HTMLElement>(REACHABLE)].filter((stop) => stop.offsetParent);
  if (event.shiftKey) stops.reverse();
  if ((place.getRootNode() as ShadowRoot).activeElement !== stops.at(-1)) return;
  event.preventDefault();
  stops[0]?.focus();
}
