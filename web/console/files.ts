// Files over REST: where they are, and how one is uploaded for a session's customer.

import { Problem, problemOf, ROOT } from "./api";
import type { Attachment } from "./extras";

export function fileAddress(id: string): string {
  return `${ROOT}/files/${encodeURIComponent(id)}`;
}

export function previewAddress(id: string): string {
  return `${fileAddress(id)}/preview`;
}

export function avatarAddress(contact: string): string {
  return `${ROOT}/contacts/${encodeURIComponent(contact)}/avatar`;
}

/** The server cuts a name's beginning out, but an address has its own bounds. */
const NAME_MAX = 200;

/** Keep *file*, *tell*ing how much of it has been sent, 0 to 1. By what only XMLHttpRequest can: fetch tells nothing. */
export function upload(session: string, file: File, tell: (sent: number) => void, aborted: AbortSignal): Promise<Attachment> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${ROOT}/sessions/${encodeURIComponent(session)}/files/${encodeURIComponent(shortName(file.name))}`);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => tell(event.total > 0 ? event.loaded / event.total : 0);
    request.onload = () => {
      const answer = parsed(request.responseText);
      if (request.status >= 200 && request.status < 300 && answer !== null) resolve({ ...(answer as Attachment), state: "ready" });
      else reject(problemOf(request.status, answer));
    };
    request.onerror = request.onabort = () => reject(new Problem(0, ""));
    aborted.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/** A name that is too long keeps its ending: by that everybody knows what it is. */
export function shortName(name: string): string {
  const letters = Array.from(name.trim() || "file");
  if (letters.length <= NAME_MAX) return letters.join("");
  const dot = letters.lastIndexOf(".");
  const ending = dot > 0 && letters.length - dot <= 12 ? letters.slice(dot) : [];
  return [...letters.slice(0, NAME_MAX - ending.length), ...ending].join("");
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
