import type { ClassInfo, Manifest, Prediction } from "../api";
import { givesPixels } from "../canvas";
import { type Result, thumbnailOf } from "./result";

/** Files with every kept result, pictures included, to take along and to bring in again. */

const FORMAT = "lesionlens-history";
const VERSION = 1;
/** More bytes than a file has around its results. */
const FRAME_BYTES = 100;

/** The start of every picture in the file. */
const JPEG = "data:image/jpeg;base64,";

/** A file that is no export of ours, or a damaged one. */
export class NotOursError extends Error {}

/** As many files as it takes for none to have more than `most` bytes, unless by one result alone. */
export async function write(results: Result[], most: number): Promise<Blob[]> {
  const files: string[][] = [];
  let left = 0;
  for (const { thumbnail: _, ...result } of results) {
    const text = JSON.stringify({ ...result, picture: await asDataUri(result.picture) });
    const { size } = new Blob([text, ","]);
    if (files.length === 0 || size > left) {
      files.push([]);
      left = most - FRAME_BYTES;
    }
    files.at(-1)?.push(text);
    left -= size;
  }
  const head = `{"format":"${FORMAT}","version":${VERSION},"results":[`;
  return files.map(
    (texts) => new Blob([head, texts.join(","), "]}"], { type: "application/json" }),
  );
}

/**
 * The results that `text` holds. Nothing in it is trusted: each value has to be of its kind, and
 * each picture has to decode.
 *
 * Rejects with a `NotOursError`.
 */
export async function read(text: string): Promise<Result[]> {
  try {
    const file = record(JSON.parse(text));
    demand(file["format"] === FORMAT && file["version"] === VERSION);
    const results: Result[] = [];
    // One after another: each picture is decoded to see whether it is one.
    for (const each of list(file["results"])) results.push(await readResult(each));
    return results;
  } catch (error) {
    throw new NotOursError(String(error));
  }
}

async function readResult(value: unknown): Promise<Result> {
  const { id, spot, date, picture, prediction, manifest } = record(value);
  const uri = string(picture);
  demand(uri.startsWith(JPEG));
  const bytes = Uint8Array.from(atob(uri.slice(JPEG.length)), (c) => c.charCodeAt(0));
  const blob = new Blob([bytes], { type: "image/jpeg" });
  const image = await createImageBitmap(blob);
  // The whole picture is a thumbnail, too, only a large one.
  const thumbnail = givesPixels() ? await thumbnailOf(image) : blob;
  image.close();
  const known = readManifest(manifest);
  return {
    id: string(id),
    spot: string(spot),
    date: number(date),
    picture: blob,
    thumbnail,
    prediction: readPrediction(prediction, known),
    manifest: known,
  };
}

function readPrediction(value: unknown, manifest: Manifest): Prediction {
  const it = record(value);
  const ids = manifest.classes.map((c) => c.id);
  const named = (id: unknown): string => {
    demand(ids.includes(string(id)));
    return string(id);
  };
  const view = list(it["view"]).map(number);
  const verdict = it["verdict"];
  demand(view.length === 4 && [null, "suspicious", "not_suspicious"].includes(verdict as null));
  const probabilities = Object.fromEntries(
    Object.entries(record(it["probabilities"])).map(([id, p]) => [named(id), number(p)]),
  );
  const heatmaps = Object.fromEntries(
    Object.entries(record(it["heatmaps"] ?? {})).map(([id, uri]) => {
      demand(string(uri).startsWith("data:image/png;base64,"));
      return [named(id), string(uri)];
    }),
  );
  return {
    image: string(it["image"]),
    model: string(it["model"]),
    width: number(it["width"]),
    height: number(it["height"]),
    prediction: named(it["prediction"]),
    probabilities,
    malignant_probability:
      it["malignant_probability"] === null ? null : number(it["malignant_probability"]),
    verdict: verdict as Prediction["verdict"],
    prediction_set: list(it["prediction_set"]).map(named),
    novelty: number(it["novelty"]),
    refused: it["refused"] === true,
    warnings: list(it["warnings"]).map(string) as Prediction["warnings"],
    view: view as Prediction["view"],
    heatmaps,
  };
}

function readManifest(value: unknown): Manifest {
  const it = record(value);
  const classes = list(it["classes"]).map((entry): ClassInfo => {
    const { id, name, description, source, malignant } = record(entry);
    demand(typeof malignant === "boolean");
    return {
      id: string(id),
      name: string(name),
      description: string(description),
      source: string(source),
      malignant: malignant === true,
    };
  });
  const { alpha, counts } = record(it["conformal"]);
  const { fit, size } = record(it["preprocessing"]);
  demand(["squash", "crop", "pad"].includes(string(fit)));
  return {
    name: string(it["name"]),
    architecture: string(it["architecture"]),
    title: string(it["title"]),
    classes,
    preprocessing: { fit: fit as Manifest["preprocessing"]["fit"], size: number(size) },
    operating_points: list(it["operating_points"]).map((entry) => {
      const { threshold, sensitivity, specificity } = record(entry);
      return {
        threshold: number(threshold),
        sensitivity: number(sensitivity),
        specificity: number(specificity),
      };
    }),
    conformal: { alpha: number(alpha), counts: numbers(counts) },
    novelty_threshold: number(it["novelty_threshold"]),
    // Results that were kept earlier have none.
    metrics: list(it["metrics"] ?? []).map((entry) => {
      const { name, value, low, high } = record(entry);
      return { name: string(name), value: number(value), low: number(low), high: number(high) };
    }),
    training: {
      datasets: list(record(it["training"])["datasets"]).map((entry) => ({
        name: string(record(entry)["name"]),
      })),
    },
    files: { "model.onnx": string(record(it["files"])["model.onnx"]) },
  };
}

function numbers(value: unknown): Record<string, number> {
  return Object.fromEntries(Object.entries(record(value)).map(([id, n]) => [id, number(n)]));
}

function asDataUri(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

function record(value: unknown): Record<string, unknown> {
  demand(typeof value === "object" && value !== null && !Array.isArray(value));
  return value as Record<string, unknown>;
}

function list(value: unknown): unknown[] {
  demand(Array.isArray(value));
  return value as unknown[];
}

function string(value: unknown): string {
  demand(typeof value === "string");
  return value as string;
}

function number(value: unknown): number {
  demand(typeof value === "number" && Number.isFinite(value));
  return value as number;
}

function demand(held: boolean): void {
  if (!held) throw new Error("A value is not of its kind");
}
