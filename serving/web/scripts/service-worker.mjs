// Builds the service worker after all else: it holds the names of the files that it keeps, so that
// a build of other files is another service worker, and a browser then fetches those.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "vite";

const web = dirname(dirname(fileURLToPath(import.meta.url)));
const target = join(web, "..", "static");
const kept = /^(assets\/.*(?<!\.wasm)|api\/.*\.(js|css)|[^/]*\.(svg|png|webmanifest))$/;

const files = readdirSync(target, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && !entry.name.endsWith(".gz"))
  .map((entry) => relative(target, join(entry.parentPath, entry.name)).replaceAll("\\", "/"))
  .filter((name) => kept.test(name))
  .sort();
const hash = createHash("sha256");
for (const name of files) hash.update(name).update(readFileSync(join(target, name)));

await build({
  root: web,
  configFile: false,
  logLevel: "warn",
  define: {
    FILES: JSON.stringify(files.map((name) => `/static/${name}`)),
    BUILD: JSON.stringify(hash.digest("hex").slice(0, 12)),
  },
  build: {
    outDir: target,
    emptyOutDir: false,
    copyPublicDir: false,
    rolldownOptions: {
      input: join(web, "src", "service-worker.ts"),
      output: { entryFileNames: "service-worker.js" },
    },
  },
});
