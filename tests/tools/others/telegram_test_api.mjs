// Has a bot of ours talk to telegram-test-api, an emulator by others of the Bot API: our shipped channel asks it for updates and answers.
//
//   npm i --prefix ELSEWHERE telegram-test-api                 not in this repository
//   TEST_API_FOLDER=ELSEWHERE PYTHON=.venv/bin/python node tests/tools/others/telegram_test_api.mjs
//
// The emulator knows neither getWebhookInfo nor offsets, and no long poll: what it lacks stands in `answers`, and nothing else does.
// Prints what it saw, line by line, and "nothing odd"; ends with an error if something was not as it should be.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";

const { TEST_API_FOLDER: folder, PYTHON: python } = process.env;
assert(folder && python, "TEST_API_FOLDER and PYTHON must be set");
const TelegramServer = createRequire(path.resolve(folder, "here.js"))("telegram-test-api");
const token = "123456:of_the_emulator";
const BOT = `
import asyncio, sys
from pathlib import Path
import msgspec
from broker.clock import SystemClock
from broker.domain import ChannelId, ChannelRow, ConversationId, LineId, MessageId
from broker.files import LocalFiles
from broker.ports import Outbound
from channels.telegram.adapter import TelegramChannel

async def talk():
    settings = {"token": sys.argv[2], "server": sys.argv[1], "names": False}
    row = ChannelRow(ChannelId("c"), LineId("l"), "bot", "telegram", "Bot", settings, 1)
    channel = TelegramChannel(row, SystemClock(), LocalFiles(Path(".")), None)
    names = []
    def said(text, key):
        ids = (ConversationId("c"), key, MessageId("m"), "t", 1)
        return Outbound(*ids, text, "Bot", from_operator=False, at_ms=0)
    async for delivery in channel.receive():
        for raw in delivery.raws:
            heard = channel.parse(raw)
            text = getattr(heard.what, "text", "") or f"pressed {heard.what.value}"
            if text == "change it":
                await channel.reword(said("changed", heard.key), names[-1])
            else:
                source = heard.source.start if heard.source else "-"
                names.append(await channel.send(said(f"{heard.person.name} said {text}, from {source}", heard.key)))
        if delivery.ack:
            await delivery.ack()
asyncio.run(talk())
`;

const emulator = new TelegramServer({ port: 0, host: "127.0.0.1" });
emulator.config.port = await new Promise((told) => {
  const free = http.createServer().listen(0, "127.0.0.1", () => {
    const { port } = free.address();
    free.close(() => told(port));
  });
});
emulator.config.apiURL = `http://127.0.0.1:${emulator.config.port}`;
await emulator.start();
const answers = { getWebhookInfo: { ok: true, result: { url: "" } } };
const gate = http.createServer((asked, answer) => {
  const known = answers[asked.url.split("/").pop()];
  if (known) return answer.setHeader("content-type", "application/json").end(JSON.stringify(known));
  const passed = http.request(emulator.config.apiURL + asked.url, { method: asked.method, headers: asked.headers }, (back) => {
    answer.writeHead(back.statusCode, back.headers);
    back.pipe(answer);
  });
  passed.on("error", () => answer.destroy());
  asked.pipe(passed);
});
await new Promise((listens) => gate.listen(0, "127.0.0.1", listens));
const bot = spawn(python, ["-c", BOT, `http://127.0.0.1:${gate.address().port}`, token], { stdio: "inherit" });
try {
  const client = emulator.getClient(token, { timeout: 15_000, firstName: "Ann", userId: 7, chatId: 7 });
  const heard = async () => (await client.getUpdates()).result.map((one) => one.message.text);
  await client.sendCommand(client.makeCommand("/start site_42"));
  assert.deepEqual(await heard(), ["Ann said /start site_42, from site_42"]);
  console.log("asked for a command and answered it");
  await client.sendMessage(client.makeMessage("Привет 👋"));
  assert.deepEqual(await heard(), ["Ann said Привет 👋, from -"]);
  await client.sendMessage(client.makeMessage("change it"));
  await emulator.waitBotEdits();
  assert.equal((await client.getUpdatesHistory()).filter((one) => one.message?.text === "changed").length, 1);
  console.log("answered words and worded its answer anew");
  await client.sendCallback(client.makeCallbackQuery("good", { message: { message_id: 2 } }));
  assert.deepEqual(await heard(), ["Ann said pressed good, from -"]);
  console.log("was pressed");
  console.log("nothing odd");
} finally {
  bot.kill();
  gate.close();
  await emulator.stop();
}
