// The public page of a line, /chat/LINE: the same application, always open, as large as the page.

import { mount } from "./app";
import { storageKey, wearIn } from "./shell";

const place = document.getElementById("chat");
if (place !== null) {
  const lang = new URLSearchParams(location.search).get("lang") ?? navigator.language;
  const line = lineOf(location.pathname);
  const options = { server: location.origin, line, lang, color: "", side: "right", label: "" } as const;
  const root = place.attachShadow({ mode: "open" });
  const application = mount(root, options, {
    page: true,
    key: storageKey(options),
    landing: null,
    wear: (css) => wearIn(root, css),
    opened: () => undefined,
    unread(count) {
      const { title } = document;
      document.title = (count > 0 ? `(${count}) ` : "") + title.replace(/^\(\d+\) /, "");
    },
    chat(chat) {
      if (chat.line !== "") document.title = document.title.replace(/^(\(\d+\) )?.*$/s, (_, unread: string | undefined) => (unread ?? "") + chat.line);
    },
  });
  application.show(true, false);
}

/** Return the line that *path* (`/chat/shop`, `/chat/shop/`) names. */
function lineOf(path: string): string {
  const name = path.split("/").filter(Boolean)[1] ?? "";
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
