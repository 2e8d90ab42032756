/**
 * Keeps the page for when there is no network. It never touches a post, so that neither a picture
 * nor what was said of one passes through it; runtime and graphs are kept by src/device.
 */

declare const self: ServiceWorkerGlobalScope;
/** The built files, and a name for just these; scripts/service-worker.mjs says them. */
declare const FILES: string[];
declare const BUILD: string;

const KEPT = `lesionlens-page-${BUILD}`;
const PAGE = "/";
const PAGES = [PAGE, "/history", "/diagnoses", "/models", "/api"];
const MODELS = "/api/v1/models";
const DESCRIPTION = "/api/openapi.json";
const ASSETS = "/static/assets/";
/** Milliseconds: a network that takes longer is not waited for where something is kept. */
const LONGEST_WAIT = 4000;

self.addEventListener("install", (event) => event.waitUntil(fill()));
// What was kept may have been deleted since.
self.addEventListener("message", (event) => event.waitUntil(fillAgain(event)));
self.addEventListener("activate", (event) => event.waitUntil(takeOver()));
self.addEventListener("fetch", (event) => {
  const answer = answerTo(event.request);
  if (answer) event.respondWith(answer);
});

/** Keeps all or nothing more than before. */
async function fill(): Promise<void> {
  const wasThere = await caches.has(KEPT);
  const cache = await caches.open(KEPT);
  try {
    await fillCache(cache);
  } catch (error) {
    // What was kept already may be what this page lives on.
    if (!wasThere) await caches.delete(KEPT);
    throw error;
  }
}

async function fillAgain({ ports }: ExtendableMessageEvent): Promise<void> {
  const isFilled = await fill().then(
    () => true,
    () => false,
  );
  ports[0]?.postMessage(isFilled);
}

async function fillCache(cache: Cache): Promise<void> {
  await cache.addAll([...FILES, ...PAGES, MODELS, DESCRIPTION]);
  const linked = await namedBy(cache, PAGES, /href="(\/(?:diagnoses|models)\/[^"?#]+)"/g);
  await cache.addAll(linked);
  await cache.addAll(await namedBy(cache, linked, /src="(\/api\/v1\/models\/[^"]+)"/g));
  const models = (await (await cache.match(MODELS, { ignoreVary: true }))?.json()) as {
    name: string;
  }[];
  await cache.addAll(models.map(({ name }) => `${MODELS}/${encodeURIComponent(name)}`));
}

/** The addresses that the pages in `cache` name where `pattern` captures them. */
async function namedBy(cache: Cache, pages: string[], pattern: RegExp): Promise<string[]> {
  const found = new Set<string>();
  for (const page of pages) {
    const text = await (await cache.match(page, { ignoreVary: true }))?.text();
    const links = text?.matchAll(pattern) ?? [];
    for (const [, link] of links) if (link) found.add(link);
  }
  return [...found];
}

async function takeOver(): Promise<void> {
  const others = (await caches.keys()).filter(
    (name) => name.startsWith("lesionlens-page-") && name !== KEPT,
  );
  await Promise.all(others.map((name) => caches.delete(name)));
  await self.clients.claim();
}

/** What is answered to `request`; null leaves it to the network. */
function answerTo(request: Request): Promise<Response> | null {
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== self.location.origin) return null;
  if (pathname.endsWith(".wasm") || pathname.endsWith(".onnx")) return null;
  if (pathname.startsWith(ASSETS)) return keptFirst(request);
  const isPage = request.mode === "navigate" && !pathname.startsWith("/api/");
  const isModel = pathname === MODELS || pathname.startsWith(`${MODELS}/`);
  const isFile = FILES.includes(pathname) || pathname === DESCRIPTION;
  if (isPage || isModel || isFile) return newestFirst(request);
  return null;
}

/** For what never changes under its name. */
async function keptFirst(request: Request): Promise<Response> {
  const kept = await caches.match(request, { ignoreVary: true });
  return kept ?? fetchAndKeep(request);
}

async function newestFirst(request: Request): Promise<Response> {
  const fetched = fetchAndKeep(request).catch(() => null);
  const soon = await Promise.race([fetched, waitedInVain()]);
  const fresh = soon ?? (await caches.match(request, { ignoreVary: true })) ?? (await fetched);
  if (fresh && fresh.status < 500) return fresh;
  return (await keptFor(request)) ?? fresh ?? Response.error();
}

function waitedInVain(): Promise<null> {
  return new Promise((resolve) => setTimeout(resolve, LONGEST_WAIT, null));
}

/** What was kept for `request`; of a page rather in another language than nothing. */
async function keptFor(request: Request): Promise<Response | undefined> {
  const kept = await caches.match(request, { ignoreVary: true });
  if (kept || request.mode !== "navigate") return kept;
  const other = await caches.match(request, { ignoreVary: true, ignoreSearch: true });
  return other ?? caches.match(PAGE, { ignoreVary: true });
}

async function fetchAndKeep(request: Request): Promise<Response> {
  const response = await fetch(request);
  const isWhole = response.ok && response.type === "basic" && !response.redirected;
  // Without its cache, what was kept was deleted by the person (src/device).
  if (isWhole && (await caches.has(KEPT))) {
    const cache = await caches.open(KEPT);
    // A full disk keeps nobody from the answer.
    await cache.put(request, response.clone()).catch(() => {});
  }
  return response;
}

/** Makes this a module, whose own `self` is a service worker's. */
export type {};
