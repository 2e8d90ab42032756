import type { Manifest } from "../api";
import { Watch } from "../silence";

/** A file that the device needs. */
export interface Download {
  url: string;
  /** What its bytes must hash to; null where its name holds a hash. */
  sha256: string | null;
  /** Bytes where they are known beforehand. */
  bytes: number | null;
}

/** Why a download failed: nobody answered, or something else was sent. */
export type DownloadFailure = "network" | "altered";

export class DownloadError extends Error {
  constructor(readonly reason: DownloadFailure) {
    super(reason);
  }
}

/** Where the browser keeps what was fetched, until the person deletes the page's data. */
const KEPT = "lesionlens-device";

/** The graphs of a model. The address holds the digest, so that another model is another file. */
export function graphsOf({ name, files }: Manifest): [preprocess: Download, model: Download] {
  const download = (file: string): Download => {
    const sha256 = files[file] ?? null;
    const url = `/api/v1/models/${encodeURIComponent(name)}/files/${file}?sha256=${sha256}`;
    return { url, sha256, bytes: null };
  };
  return [download("preprocess.onnx"), download("model.onnx")];
}

/**
 * The bytes of each of `downloads`, from what is kept or else from the server. `onShare` is told
 * how much of what must be fetched has come, from 0 to 1; null where the server does not say of
 * how much.
 *
 * Rejects with a `DownloadError`, or as `signal` is aborted.
 */
export async function obtain(
  downloads: Download[],
  onShare: (share: number | null) => void,
  signal: AbortSignal,
): Promise<Uint8Array[]> {
  const cache = await caches.open(KEPT);
  const watch = new Watch(signal);
  try {
    return await obtainWatched(downloads, cache, onShare, watch);
  } catch (error) {
    signal.throwIfAborted();
    watch.giveUp();
    throw error instanceof DownloadError ? error : new DownloadError("network");
  } finally {
    watch.end();
  }
}

/** Whether each of `downloads` is kept. */
export async function areKept(downloads: Download[]): Promise<boolean> {
  const cache = await caches.open(KEPT);
  const found = await Promise.all(downloads.map(({ url }) => cache.match(url)));
  return found.every((each) => each !== undefined);
}

/** Deletes what is kept but none of `downloads`: an older runtime, an older model. */
export async function keepOnly(downloads: Download[]): Promise<void> {
  const cache = await caches.open(KEPT);
  const wanted = new Set(downloads.map(({ url }) => new URL(url, location.origin).href));
  for (const request of await cache.keys()) {
    if (!wanted.has(request.url)) await cache.delete(request);
  }
}

/** Deletes all that is kept, the service worker's pages too. */
export async function keepNothing(): Promise<void> {
  await Promise.all((await ours()).map((name) => caches.delete(name)));
}

/** Whether anything is kept. */
export async function isAnyKept(): Promise<boolean> {
  for (const name of await ours()) {
    const kept = await (await caches.open(name)).keys();
    if (kept.length > 0) return true;
  }
  return false;
}

/** Whether the service worker keeps a page. */
export async function isPageKept(): Promise<boolean> {
  return (await ours()).some((name) => name.startsWith("lesionlens-page-"));
}

async function ours(): Promise<string[]> {
  return (await caches.keys()).filter((name) => name.startsWith("lesionlens-"));
}

interface Opened {
  download: Download;
  response: Response;
  kept: boolean;
  bytes: number | null;
}

async function obtainWatched(
  downloads: Download[],
  cache: Cache,
  onShare: (share: number | null) => void,
  watch: Watch,
): Promise<Uint8Array[]> {
  const opened = await Promise.all(
    downloads.map((download) => open(cache, download, watch.signal)),
  );
  const missing = opened.filter((each) => !each.kept);
  const total = missing.reduce<number | null>(
    (sum, { bytes }) => (sum === null || bytes === null ? null : sum + bytes),
    0,
  );
  let come = 0;
  const count = (more: number): void => {
    come += more;
    watch.heard();
    onShare(total === null ? null : Math.min(come / total, 1));
  };
  if (missing.length > 0) count(0);
  const bodies = await Promise.all(
    opened.map(({ response, kept }) => (kept ? bytesOf(response) : readBody(response, count))),
  );
  for (const [i, { download, kept }] of opened.entries()) {
    const body = bodies[i];
    if (kept || !body) continue;
    await check(download, body);
    await keep(cache, download, body);
  }
  return bodies;
}

async function open(cache: Cache, download: Download, signal: AbortSignal): Promise<Opened> {
  const kept = await cache.match(download.url);
  if (kept) return { download, response: kept, kept: true, bytes: null };
  const response = await fetch(download.url, { signal });
  if (!response.ok) throw new DownloadError("network");
  // Of a compressed body the length is that of the compressed one.
  const isPlain = response.headers.get("content-encoding") === null;
  const length = Number(response.headers.get("content-length"));
  return {
    download,
    response,
    kept: false,
    bytes: download.bytes ?? (isPlain && length > 0 ? length : null),
  };
}

async function readBody(response: Response, count: (more: number) => void): Promise<Uint8Array> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  const reader = response.body?.getReader();
  for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
    chunks.push(part.value);
    count(part.value.length);
  }
  return bytesOf(new Blob(chunks));
}

async function bytesOf(body: Blob | Response): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await body.arrayBuffer());
}

async function check({ sha256 }: Download, body: Uint8Array): Promise<void> {
  if (sha256 === null) return;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", body as BufferSource));
  const hex = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  if (hex !== sha256) throw new DownloadError("altered");
}

async function keep(cache: Cache, { url }: Download, body: Uint8Array): Promise<void> {
  const headers = { "content-type": "application/octet-stream" };
  try {
    await cache.put(url, new Response(body as BodyInit, { headers }));
  } catch {
    // No room left: it is fetched again the next time.
  }
}
