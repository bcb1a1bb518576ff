// Has grammY, a library of others for bots, talk to the fake of Telegram: it polls, answers, is pressed, sends a picture and fetches it.
//
//   python -m tests.support.telegram_fake --folder FOLDER      prints its port
//   npm i --prefix ELSEWHERE grammy                            not in this repository
//   TELEGRAM_FAKE_URL=http://127.0.0.1:PORT GRAMMY_FOLDER=ELSEWHERE node tests/tools/others/grammy.mjs
//
// Prints what it saw, line by line, and "nothing odd"; ends with an error if something was not as it should be.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";

const { TELEGRAM_FAKE_URL: url, GRAMMY_FOLDER: folder } = process.env;
assert(url && folder, "TELEGRAM_FAKE_URL and GRAMMY_FOLDER must be set");
const { Bot, InlineKeyboard, InputFile, webhookCallback } = createRequire(path.resolve(folder, "here.js"))("grammy");
const PICTURE = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==", "base64");

async function control(what, given) {
  const answer = await fetch(`${url}/control/${what}`, given && { method: "POST", body: JSON.stringify(given) });
  assert(answer.ok, `${what}: ${answer.status}`);
  return answer.json();
}

const { token } = await control("bots", { username: "grammy_bot", name: "Grammy" });
const ann = await control("people", { first_name: "Ann" });
const place = { bot: token };
const say = (text, more = {}) => control("do/say", { person: ann.id, place, text, ...more });
const room = (count) => control("room", { bot: token, place: { ...place, person: ann.id }, at_least: count, seconds: 10 });
const mine = (records) => records.filter((record) => record.bot === token);

const bot = new Bot(token, { client: { apiRoot: url } });
bot.command("start", (context) =>
  context.reply(`Hello ${context.match}`, { reply_markup: new InlineKeyboard().text("More", "more") }),
);
bot.callbackQuery("more", async (context) => {
  await context.answerCallbackQuery("Here");
  await context.editMessageText("<b>More</b>", { parse_mode: "HTML" });
});
bot.on("message:document", async (context) => {
  const file = await context.getFile();
  const content = await (await fetch(`${url}/file/bot${token}/${file.file_path}`)).text();
  await context.replyWithPhoto(new InputFile(PICTURE, "dot.png"), { caption: content });
});
bot.on("message_reaction", (context) => context.react("👍"));
bot.catch((error) => {
  throw error.error;
});

const polling = bot.start({ allowed_updates: ["message", "callback_query", "message_reaction"] });
await say("/start site_42");
const [greeting] = mine(await room(1));
assert.equal(greeting.message.text, "Hello site_42");
console.log("polled a command and answered it");

await control("do/press", { person: ann.id, place, message_id: greeting.message.message_id, data: "more" });
await control("bot", { bot: token, method: "editMessageText", at_least: 1, begun: false, seconds: 10 });
const [edited] = mine(await room(1));
assert.deepEqual([edited.message.text, edited.versions.length], ["More", 1]);
console.log("answered a button and edited the message");

const content = Buffer.from("words").toString("base64");
const [{ message_id: document }] = await say("", { files: [{ kind: "document", content, name: "письмо.txt" }] });
const photo = mine(await room(2))[1];
assert.deepEqual([photo.message.caption, photo.files[0].size], ["words", PICTURE.length]);
console.log("fetched a file and sent a picture");

await control("do/react", { person: ann.id, place, message_id: document, emojis: ["🔥"] });
await control("bot", { bot: token, method: "setMessageReaction", at_least: 1, begun: false, seconds: 10 });
console.log("reacted to a reaction");
await bot.stop();
await polling;

const { createServer } = await import("node:http");
const server = createServer(webhookCallback(bot, "http", { secretToken: "s3cret" })).listen(0, "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));
await bot.api.setWebhook(`http://127.0.0.1:${server.address().port}/`, { secret_token: "s3cret" });
await say("/start webhook");
assert.equal(mine(await room(3))[2].message.text, "Hello webhook");
await bot.api.deleteWebhook();
server.close();
console.log("answered what was posted to it");

assert.deepEqual(await control("violations"), []);
console.log("nothing odd");
