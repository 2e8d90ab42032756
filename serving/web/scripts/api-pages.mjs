// Copies what the page of the API's description needs into the server's static files: Swagger UI
// as published, and our script that starts it, since the strict CSP allows no inline one.
import { copyFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const web = dirname(dirname(fileURLToPath(import.meta.url)));
const swagger = join(web, "node_modules", "swagger-ui-dist");
const target = join(web, "..", "static", "api");

mkdirSync(target, { recursive: true });
for (const [folder, file] of [
  [swagger, "swagger-ui.css"],
  [swagger, "swagger-ui-bundle.js"],
  [swagger, "LICENSE"],
  [join(web, "api"), "start.js"],
  [join(web, "api"), "start.css"],
]) {
  copyFileSync(join(folder, file), join(target, file));
}
