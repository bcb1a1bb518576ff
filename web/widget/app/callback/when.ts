// Moments as a field of type datetime-local has them: local time, to the minute, without a zone.

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** As the field's step says, in seconds there: a step counts from `min`, so both ends are multiples of it. */
const STEP = 5 * MINUTE;
export const STEP_SECONDS = STEP / 1_000;
/** So far ahead the server promises a call. */
const FURTHEST = 30 * 24 * HOUR;

/** Return the field's value for *at*, epoch milliseconds: `2026-11-28T15:05`. */
export function valueOf(at: number): string {
  const date = new Date(at);
  const two = (part: number) => `${part}`.padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** Return what *value* means, epoch milliseconds; NaN if it is no moment. */
export function momentOf(value: string): number {
  // Without a zone it is local time. An hour that the clocks leave out becomes the one after it.
  return new Date(value).getTime();
}

/** Return the first and the last moment that can be asked for at *now*. */
export function reachable(now: number): [first: number, last: number] {
  return [Math.ceil(now / STEP) * STEP, Math.floor((now + FURTHEST) / STEP) * STEP];
}

/** Return what to propose at *now*: the next full hour, or the opening where that is later. */
export function proposed(now: number, opensAt: number): number {
  const [first, last] = reachable(now);
  const hour = new Date(now);
  // By the local clock: zones are not whole hours apart.
  hour.setHours(hour.getHours() + 1, 0, 0, 0);
  return Math.min(last, Math.max(first, hour.getTime(), Math.ceil(opensAt / STEP) * STEP));
}
