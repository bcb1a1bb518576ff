// The address behind the `#`: which screen is shown.

import type { Box } from "../shared/frames/operator";

export type Route = { screen: "list"; box: Box } | { screen: "session"; session: string } | { screen: "leads" } | { screen: "board" };

const BOXES: readonly Box[] = ["mine", "waiting", "all", "calls", "missed"];
/** Ids of sessions are UUIDs; whatever else stands there would only make the gateway close the socket. */
const SESSION = /^[0-9a-f-]{36}$/iu;

export function parseRoute(hash: string): Route {
  const [first = "", second = ""] = hash.replace(/^#\/?/u, "").split("/");
  if (first === "leads" || first === "board") return { screen: first };
  if (first === "s" && SESSION.test(second)) return { screen: "session", session: second };
  return { screen: "list", box: BOXES.find((box) => box === first) ?? "mine" };
}

export function hashOf(route: Route): string {
  switch (route.screen) {
    case "list":
      return `#/${route.box}`;
    case "session":
      return `#/s/${route.session}`;
    case "leads":
      return "#/leads";
    case "board":
      return "#/board";
  }
}

export function go(route: Route): void {
  location.hash = hashOf(route);
}
