// The address behind the `#`: which screen is shown.

import type { Box } from "../shared/frames/operator";

/** A page without parts. */
export type Page = "leads" | "board" | "sounds";
export type Route = { screen: "list"; box: Box } | { screen: "session"; session: string } | { screen: Page } | ChannelsRoute;
/** *at*: empty, the list; `new` or `new/KIND`, one is connected; else a channel's id. */
export interface ChannelsRoute {
  screen: "channels";
  at: string;
}

const PAGES: readonly Page[] = ["leads", "board", "sounds"];
const BOXES: readonly Box[] = ["mine", "waiting", "all", "calls", "missed"];
/** Ids of sessions are UUIDs; whatever else stands there would only make the gateway close the socket. */
const SESSION = /^[0-9a-f-]{36}$/iu;
const CHANNELS = /^(?:|new(?:\/[a-z_]{1,40})?|[0-9a-f-]{36})$/iu;

export function parseRoute(hash: string): Route {
  const [first = "", second = "", ...rest] = hash.replace(/^#\/?/u, "").split("/");
  const page = PAGES.find((one) => one === first);
  if (page !== undefined) return { screen: page };
  const at = [second, ...rest].join("/");
  if (first === "channels" && CHANNELS.test(at)) return { screen: "channels", at };
  if (first === "s" && SESSION.test(second)) return { screen: "session", session: second };
  return { screen: "list", box: BOXES.find((box) => box === first) ?? "mine" };
}

export function hashOf(route: Route): string {
  switch (route.screen) {
    case "list":
      return `#/${route.box}`;
    case "session":
      return `#/s/${route.session}`;
    case "channels":
      return route.at === "" ? "#/channels" : `#/channels/${route.at}`;
    case "leads":
    case "board":
    case "sounds":
      return `#/${route.screen}`;
  }
}

export function go(route: Route): void {
  location.hash = hashOf(route);
}
