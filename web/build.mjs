// Builds the browser side into broker/web/static/, one Vite build a face.
//
//   console/index.html  ->  static/console/   an application of its own, served at /console/
//   widget/app.tsx      ->  static/widget/    app-HASH.js, and the public page page.html that uses it, served at /widget/
//   console/icon.svg    ->  static/icon.svg   the icon of every page of ours, served at /icon.svg
//   widget/loader.ts    ->  static/widget/    widget.js: what a site embeds, so its name never changes
//
// The loader comes last: it has to know the name that the application was given.

import { copyFile, mkdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const web = dirname(fileURLToPath(import.meta.url));
const published = join(web, "..", "broker", "web", "static");
// Built beside its place and moved at the end: a failed build leaves the last good one.
const fresh = join(web, "..", "broker", "web", ".static.new");

/** Run Vite on our common configuration and these additions. */
function vite(additions) {
  return build({ configFile: join(web, "vite.config.ts"), logLevel: "warn", ...additions });
}

function buildConsole() {
  return vite({
    root: join(web, "console"),
    base: "/console/",
    build: { outDir: join(fresh, "console"), emptyOutDir: true, manifest: true },
  });
}

/** Build the widget and its public page; return the widget's file name. */
async function buildWidget() {
  const result = await vite({
    root: join(web, "widget"),
    base: "/widget/",
    build: {
      outDir: join(fresh, "widget"),
      emptyOutDir: true,
      manifest: true,
      rolldownOptions: {
        input: { app: join(web, "widget", "app.tsx"), page: join(web, "widget", "page.html") },
        // The loader imports the application by its exports: keep them, although nothing in this build uses them.
        preserveEntrySignatures: "allow-extension",
        // With its exports' own names the application is one file; renamed ones would need a second one in front.
        output: {
          minifyInternalExports: false,
          entryFileNames: "[name]-[hash].js",
          chunkFileNames: "[name]-[hash].js",
          assetFileNames: "[name]-[hash][extname]",
        },
      },
    },
  });
  const app = result.output.find((chunk) => chunk.type === "chunk" && chunk.isEntry && chunk.name === "app");
  return app.fileName;
}

async function buildLoader(app) {
  await vite({
    root: join(web, "widget"),
    define: { __WIDGET_APP__: JSON.stringify(`widget/${app}`) },
    build: {
      outDir: join(fresh, "widget"),
      emptyOutDir: false,
      copyPublicDir: false,
      lib: { entry: join(web, "widget", "loader.ts"), formats: ["iife"], name: "OmnilineLoader", fileName: () => "widget.js" },
    },
  });
}

/** Move a manifest out of the published folders: it is for budgets.mjs, not for browsers. */
async function keepManifest(face) {
  const manifests = join(web, "node_modules", ".cache", "omniline");
  await mkdir(manifests, { recursive: true });
  await copyFile(join(fresh, face, ".vite", "manifest.json"), join(manifests, `${face}.json`));
  await rm(join(fresh, face, ".vite"), { recursive: true });
}

await rm(fresh, { recursive: true, force: true });
await buildConsole();
const app = await buildWidget();
await buildLoader(app);
await keepManifest("console");
await keepManifest("widget");
await copyFile(join(web, "console", "icon.svg"), join(fresh, "icon.svg"));
await rm(published, { recursive: true, force: true });
await rename(fresh, published);
