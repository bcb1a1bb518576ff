// A second client for the fake of VK: npm's vk-io, which knows VK by itself. What the fake gets wrong, it stumbles over.
//
//     npm install --prefix /some/folder vk-io@4
//     VK_FAKE_URL=http://127.0.0.1:PORT VK_IO_FOLDER=/some/folder node tests/tools/others/vkio.mjs
//
// It makes a community and a person of its own in the fake, serves her over the long poll, and prints what it saw; exit code 1: not all of it.

import { Agent } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";

const url = process.env.VK_FAKE_URL;
const require = createRequire(join(process.env.VK_IO_FOLDER, "package.json"));
const { APIError, Keyboard, VK } = require("vk-io");

const GROUP_ID = 9009;
const ANN = 90;
const TOKEN = "vk1.a.vkio";
const PATIENCE_MS = 10_000;
const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);

async function pull(verb, told = {}) {
  const answer = await fetch(`${url}/control/${verb}`, { method: "POST", body: JSON.stringify({ group_id: GROUP_ID, ...told }) });
  const { answer: found, wrong } = await answer.json();
  if (wrong) throw new Error(`${verb}: ${wrong}`);
  return found;
}

const failed = [];
function see(what, holds, more = "") {
  console.log(`${holds ? "ok    " : "NOT OK"} ${what} ${more}`);
  if (!holds) failed.push(what);
}

const begun = (await pull("violations")).caller.length;
await pull("community_made", { token: TOKEN, long_poll: true });
await pull("person", { user_id: ANN, first_name: "Ann", last_name: "Lee", sex: 1 });

const vk = new VK({ token: TOKEN, apiBaseUrl: `${url}/method`, agent: new Agent(), apiVersion: "5.199", pollingGroupId: GROUP_ID });

let answered;
const over = new Promise((resolve) => (answered = resolve));
const heard = [];
vk.updates.on("message_new", async (context) => {
  heard.push(context.text);
  see("a message is read", context.senderId === ANN && context.isUser, context.text);
  if (context.text === "hello") {
    see("its picture is read", context.hasAttachments("photo"), context.getAttachments("photo")[0]?.largeSizeUrl);
    await context.setActivity();
    const photo = await vk.upload.messagePhoto({ source: { value: PNG, filename: "dot.png" }, peer_id: context.peerId });
    // Its own random_id has 53 bits; the fake takes what documentation promises, which is 32.
    await context.send("choose", {
      random_id: 1,
      attachment: photo.toString(),
      keyboard: Keyboard.builder()
        .textButton({ label: "Text", payload: { is: "text" }, color: Keyboard.SECONDARY_COLOR })
        .callbackButton({ label: "Call", payload: { is: "call" } })
        .inline(),
    });
    await pull("press", { user_id: ANN, label: "Text" });
  } else if (context.text === "Text") {
    see("a text button's payload is read", context.messagePayload?.is === "text");
    await context.reply({ message: "you chose text", random_id: 2 });
    await pull("press", { user_id: ANN, label: "Call" });
  }
});
vk.updates.on("message_event", async (context) => {
  see("a callback button's payload is read", context.eventPayload?.is === "call");
  await context.answer({ type: "show_snackbar", text: "done" });
  answered();
});
vk.updates.on("message_edit", (context) => heard.push(`edited: ${context.text}`));

await vk.updates.startPolling();
await pull("write", { user_id: ANN, text: "hello", attachments: [{ type: "photo" }] });
const late = setTimeout(() => answered("late"), PATIENCE_MS);
see("the talk came to its end", (await over) !== "late");
clearTimeout(late);

const sent = await pull("sent", { peer_id: ANN });
see("two messages were sent", sent.length === 2, JSON.stringify(sent.map(({ text }) => text)));
see("the picture went with the first", sent[0]?.attachments[0]?.size === PNG.length);
see("the second answers a message", sent[1]?.reply_to > 0, `${sent[1]?.reply_to}`);
see("the button was answered", Object.values(await pull("presses"))[0]?.answer?.text === "done");

try {
  await vk.api.messages.send({ peer_id: 404, random_id: 1, message: "hi" });
  see("a stranger is refused", false);
} catch (error) {
  see("a stranger is refused", error instanceof APIError && error.code === 100, error.message);
}
const [person] = await vk.api.users.get({ user_ids: [ANN], fields: ["sex"] });
see("a person is read", person.first_name === "Ann" && person.sex === 1);
const { items } = await vk.api.messages.getHistory({ peer_id: ANN, count: 10 });
see("the history is read", items.length === 4);

async function comes(look) {
  const until = Date.now() + PATIENCE_MS;
  while (!(await look()) && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 50));
}

const polls = async () => (await pull("polls")).asked.map(({ key }) => key);
const keys = await polls();
await pull("long_poll_broken", { failed: 2 });
// It forgets its ts with its key, and with it what comes before it has a new one.
await comes(async () => !keys.includes((await polls()).at(-1)));
await pull("write", { user_id: ANN, text: "after a new key" });
await comes(() => heard.includes("after a new key"));
see("it goes on after failed 2", heard.includes("after a new key"));
await vk.updates.stop();

const { caller, fake } = await pull("violations");
see("the fake said nothing wrong", fake.length === 0, fake.join("; "));
console.log(`what the schema does not know of its calls: ${JSON.stringify([...new Set(caller.slice(begun))])}`);
process.exit(failed.length ? 1 : 0);
