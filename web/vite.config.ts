// What every build of the browser side has in common, and how its tests run. The builds themselves: build.mjs.

import { defineConfig } from "vitest/config";

export default defineConfig({
  // JSX needs no plugin: Vite reads jsx and jsxImportSource from tsconfig.json.
  build: {
    target: "es2022",
    // An inlined asset becomes a data: URL, and our Content-Security-Policy allows none.
    assetsInlineLimit: 0,
    // The polyfill is an inline script; every browser of our target has modulepreload.
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  test: {
    include: ["{console,widget,shared}/**/*.test.{ts,tsx}"],
    passWithNoTests: true,
  },
});
