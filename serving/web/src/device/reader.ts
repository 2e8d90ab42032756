import runtimeUrl from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";

import { fetchManifest, fetchModelNames, Problem, type Prediction } from "../api";
import type { Reader } from "../card";
import { isReadable } from "../picture";
import { fill, words } from "../words";
import { areKept, type Download, graphsOf, keepOnly } from "./downloads";
import type { WholeManifest } from "./manifest";
import type { Failure, Reply, Request, Task } from "./messages";

const runtime: Download = { url: runtimeUrl, sha256: null, bytes: RUNTIME_BYTES };

/** A worker, the number of its tasks that are not answered, and whether it ends after them. */
interface Running {
  worker: Worker;
  pending: number;
  isLast: boolean;
}

let running: Running | null = null;
let tasks = 0;

/** Reads a picture in this browser, as the server would. */
export const readOnDevice: Reader = async (picture, model, progress, signal) => {
  progress("loading", null);
  const manifest = (await fetchManifest(model)) as WholeManifest;
  signal.throwIfAborted();
  const prediction = await ask(
    { kind: "read", picture, manifest, runtime },
    {
      onShare: (share) => progress("loading", share),
      onReading: () => progress("waiting", null),
      signal,
      picture,
    },
  );
  if (!prediction) throw new Error("The worker read nothing");
  return prediction;
};

/**
 * Fetches the runtime and every model, so that all can be read without a network. Resolves to
 * whether the browser had room to keep them.
 */
export async function fetchAll(
  onShare: (share: number | null) => void,
  signal: AbortSignal,
): Promise<boolean> {
  const downloads = await allDownloads();
  signal.throwIfAborted();
  await ask({ kind: "fetch", downloads }, { onShare, signal });
  await keepOnly(downloads);
  return areKept(downloads);
}

/** Whether all that `fetchAll` would fetch is here. */
export async function hasAll(): Promise<boolean> {
  return areKept(await allDownloads());
}

/** Ends the worker once it is done, and gives back the memory that its graphs take. */
export function rest(): void {
  if (!running) return;
  running.isLast = true;
  endIfDone(running);
  running = null;
}

async function allDownloads(): Promise<Download[]> {
  const names = await fetchModelNames();
  const manifests = await Promise.all(names.map(fetchManifest));
  return [runtime, ...manifests.flatMap(graphsOf)];
}

function endIfDone({ worker, pending, isLast }: Running): void {
  if (isLast && pending === 0) worker.terminate();
}

function start(): Running {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  return { worker, pending: 0, isLast: false };
}

interface Listening {
  onShare: (share: number | null) => void;
  onReading?: () => void;
  signal: AbortSignal;
  /** For an error to name. */
  picture?: File;
}

function ask(
  task: Task,
  { onShare, onReading, signal, picture }: Listening,
): Promise<Prediction | null> {
  const id = ++tasks;
  const asked = (running ??= start());
  const { worker } = asked;
  asked.pending += 1;
  const send = (request: Request): void => worker.postMessage(request);
  const over = new AbortController();
  const answered = new Promise<Prediction | null>((resolve, reject) => {
    const fail = (failure: Failure): void => {
      // onnxruntime cannot be started twice.
      if (failure === "broken" && running === asked) rest();
      void problemOf(failure, picture).then(reject);
    };
    const listen = { signal: over.signal };
    worker.addEventListener(
      "message",
      ({ data }: MessageEvent<Reply>) => {
        if (data.id !== id) return;
        if ("share" in data) onShare(data.share);
        else if ("reading" in data) onReading?.();
        else if ("done" in data) resolve(data.done);
        else fail(data.failed);
      },
      listen,
    );
    worker.addEventListener(
      "error",
      (event) => {
        if (running === asked) rest();
        // Of a script that did not arrive there is no error to tell.
        fail(event instanceof ErrorEvent ? "broken" : "network");
      },
      listen,
    );
    signal.addEventListener(
      "abort",
      () => {
        send({ id, cancel: true });
        reject(new DOMException("Aborted", "AbortError"));
      },
      listen,
    );
  });
  send({ id, task });
  return answered.finally(() => {
    over.abort();
    asked.pending -= 1;
    endIfDone(asked);
  });
}

async function problemOf(failure: Failure, picture?: File): Promise<Problem> {
  const isGone = failure === "undecodable" && picture && !(await isReadable(picture));
  const told = isGone ? words.problem.unreadable : words.device.problem[failure];
  return new Problem(fill(told, { name: picture?.name ?? "" }));
}
