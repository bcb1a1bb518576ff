// Weighs what a browser loads first, writes broker/web/static/sizes.json, and fails above the budgets.
//
// A face weighs its entry, everything the entry imports statically, their style sheets, and its page: what must have
// arrived before a person can use it. Parts loaded later by import() do not count.

import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

// Kilobytes of 1,000 bytes, gzipped at the level that servers use.
const budgets = { loader_gzip_kb: 2, widget_gzip_kb: 15, console_gzip_kb: 90 };

const web = dirname(fileURLToPath(import.meta.url));
const published = join(web, "..", "broker", "web", "static");

async function weigh(...files) {
  const sizes = await Promise.all(files.map(async (file) => gzipSync(await readFile(join(published, file)), { level: 6 }).length));
  return Math.round(sizes.reduce((sum, size) => sum + size, 0)) / 1000;
}

/** Return the files that *entry* cannot do without, as Vite's manifest of *face* tells. */
async function firstLoad(face, entry) {
  const manifest = JSON.parse(await readFile(join(web, "node_modules", ".cache", "omniline", `${face}.json`), "utf8"));
  const files = new Set();
  const follow = (key) => {
    const chunk = manifest[key];
    if (chunk === undefined) throw new Error(`${face}: the build has no ${key}`);
    if (files.has(chunk.file)) return;
    files.add(chunk.file);
    (chunk.css ?? []).forEach((style) => files.add(style));
    (chunk.imports ?? []).forEach(follow);
  };
  follow(entry);
  return [...files].map((file) => join(face, file));
}

const sizes = {
  loader_gzip_kb: await weigh("widget/widget.js"),
  widget_gzip_kb: await weigh(...(await firstLoad("widget", "app.tsx"))),
  console_gzip_kb: await weigh("console/index.html", ...(await firstLoad("console", "index.html"))),
};
await writeFile(join(published, "sizes.json"), `${JSON.stringify(sizes, null, 2)}\n`);

let heavy = false;
for (const [name, size] of Object.entries(sizes)) {
  const over = size > budgets[name];
  heavy ||= over;
  console.log(`${name} ${size.toFixed(2)} KB, budget ${budgets[name]} KB${over ? ": TOO HEAVY" : ""}`);
}
if (heavy) {
  console.error("The browser side is above its budget. Load the part later by import(), or do without it.");
  process.exitCode = 1;
}
