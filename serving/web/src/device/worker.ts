import type { Prediction } from "../api";
import { decode, DecodeError, type Upright } from "./decode";
import { type Download, DownloadError, graphsOf, obtain } from "./downloads";
import { type Graphs, load, start } from "./graphs";
import { heatmapsOf } from "./heatmaps";
import type { WholeManifest } from "./manifest";
import type { Failure, Reply, Request, Task } from "./messages";
import { decide } from "./prediction";
import { warningsFor } from "./quality";
import { viewOf } from "./view";

/** The server's work on a picture, beside the page so that the page stays quick to the touch. */

type Tell = (reply: Reply) => void;

const running = new Map<number, AbortController>();
const loaded = new Map<string, Graphs>();
let isStarted = false;
/** Tasks run one after another: two would only fetch the same files twice. */
let last: Promise<void> = Promise.resolve();

const tell: Tell = (reply) => postMessage(reply);

addEventListener("message", ({ data }: MessageEvent<Request>) => {
  if ("cancel" in data) return running.get(data.id)?.abort();
  const { id, task } = data;
  const run = new AbortController();
  running.set(id, run);
  last = last.then(async () => {
    try {
      tell({ id, done: await perform(task, id, run.signal) });
    } catch (error) {
      if (!run.signal.aborted) tell({ id, failed: failureOf(error) });
    } finally {
      running.delete(id);
    }
  });
});

async function perform(task: Task, id: number, signal: AbortSignal): Promise<Prediction | null> {
  signal.throwIfAborted();
  const onShare = (share: number | null): void => tell({ id, share });
  if (task.kind === "fetch") {
    await obtain(task.downloads, onShare, signal);
    return null;
  }
  const { picture, manifest, runtime } = task;
  // First, so that nobody waits for downloads only to hear that the picture cannot be opened.
  const upright = await decode(picture, 2 * manifest.preprocessing.size);
  const graphs = await graphsFor(manifest, runtime, onShare, signal);
  tell({ id, reading: true });
  return { image: picture.name, ...(await read(upright, manifest, graphs)) };
}

async function graphsFor(
  manifest: WholeManifest,
  runtime: Download,
  onShare: (share: number | null) => void,
  signal: AbortSignal,
): Promise<Graphs> {
  const [preprocess, model] = graphsOf(manifest);
  // Two models may share one of their graphs.
  const both = `${preprocess.sha256} ${model.sha256}`;
  const known = loaded.get(both);
  if (known) return known;
  const [first, second, wasm] = await obtain([preprocess, model, runtime], onShare, signal);
  if (!first || !second || !wasm) throw new Error("A download is missing");
  if (!isStarted) start(wasm);
  isStarted = true;
  const graphs = await load(first, second, manifest);
  loaded.set(both, graphs);
  return graphs;
}

async function read(
  upright: Upright,
  manifest: WholeManifest,
  graphs: Graphs,
): Promise<Omit<Prediction, "image">> {
  const { preprocessing, quality } = manifest;
  const { width, height, columns, rows } = upright;
  const pixels = await graphs.prepare(upright);
  const outputs = await graphs.answer(pixels);
  return {
    model: manifest.name,
    width,
    height,
    ...decide(manifest, outputs),
    warnings: warningsFor(pixels, preprocessing.size, width, height, quality),
    view: viewOf(columns, rows, preprocessing),
    heatmaps: await heatmapsOf(manifest, outputs),
  };
}

function failureOf(error: unknown): Failure {
  if (error instanceof DownloadError) return error.reason;
  if (error instanceof DecodeError) return "undecodable";
  console.error(error);
  return "broken";
}
