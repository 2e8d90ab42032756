import { statSync } from "node:fs";
import { fileURLToPath } from "node:url";

import tailwindcss from "@tailwindcss/vite";
import { defineConfig } from "vite";

import english from "../words/en.json" with { type: "json" };

const runtime = fileURLToPath(import.meta.resolve("onnxruntime-web/ort-wasm-simd-threaded.wasm"));

export default defineConfig({
  base: "/static/",
  plugins: [tailwindcss()],
  define: { RUNTIME_BYTES: statSync(runtime).size, CLASSES: english.diagnoses },
  build: {
    outDir: "../static",
    emptyOutDir: true,
    // The templates find the hashed files through .vite/manifest.json.
    manifest: true,
    rolldownOptions: { input: ["src/early.ts", "src/main.ts", "src/history/page.ts"] },
    // A data: URI in a stylesheet or script would need a wider content security policy.
    assetsInlineLimit: 0,
  },
  worker: {
    format: "es",
    // The server lets what is in this folder compile WebAssembly.
    rolldownOptions: { output: { entryFileNames: "assets/device/[name]-[hash].js" } },
  },
});
