import type { ClassInfo, Manifest, Prediction } from "../api";
import { encodeJpeg } from "../jpeg";
import { HEATMAP_GAIN } from "../reading";

/** A result that was kept, as this browser stores it. */
export interface Result {
  id: string;
  /** What the person calls the spot; empty where they gave it no name. */
  spot: string;
  /** Milliseconds since 1970, when it was read. */
  date: number;
  /** A JPEG of the picture, at most `SIDE` pixels a side. */
  picture: Blob;
  thumbnail: Blob;
  prediction: Prediction;
  /** The words of the model itself: the page translates them where they are shown. */
  manifest: Manifest;
}

type Drawable = ImageBitmap | HTMLImageElement;

/** Pixels, longer side of the picture and of its thumbnail. */
const SIDE = 1024;
const THUMBNAIL = 240;
const QUALITY = 0.85;

/**
 * What is kept of an answer: the picture that is shown at `url`, smaller, and of the manifest only
 * what the page reads.
 */
export async function makeResult(
  spot: string,
  date: number,
  url: string,
  prediction: Prediction,
  manifest: Manifest,
): Promise<Result> {
  const image = new Image();
  image.src = url;
  await image.decode();
  return {
    id: makeId(),
    spot: spot.trim(),
    date,
    picture: await shrink(image, SIDE),
    thumbnail: await thumbnailOf(image),
    prediction,
    manifest: essence(manifest),
  };
}

/** A small JPEG for lists. */
export function thumbnailOf(image: Drawable): Promise<Blob> {
  return shrink(image, THUMBNAIL);
}

function shrink(image: Drawable, side: number): Promise<Blob> {
  const { width, height } = image;
  const scale = Math.min(1, side / Math.max(width, height));
  const size = {
    width: Math.max(1, Math.round(width * scale)),
    height: Math.max(1, Math.round(height * scale)),
  };
  return encodeJpeg(image, { x: 0, y: 0, width, height }, size, QUALITY);
}

function essence(manifest: Manifest): Manifest {
  const classInfo = ({ id, name, description, source, malignant }: ClassInfo): ClassInfo => ({
    id,
    name,
    description,
    source,
    malignant,
  });
  return {
    name: manifest.name,
    architecture: manifest.architecture,
    title: manifest.title,
    classes: manifest.classes.map(classInfo),
    preprocessing: { fit: manifest.preprocessing.fit, size: manifest.preprocessing.size },
    operating_points: manifest.operating_points.map(({ threshold, sensitivity, specificity }) => ({
      threshold,
      sensitivity,
      specificity,
    })),
    conformal: { alpha: manifest.conformal.alpha, counts: { ...manifest.conformal.counts } },
    novelty_threshold: manifest.novelty_threshold,
    metrics: (manifest.metrics ?? [])
      .filter(({ name }) => name === HEATMAP_GAIN)
      .map(({ name, value, low, high }) => ({ name, value, low, high })),
    training: { datasets: manifest.training.datasets.map(({ name }) => ({ name })) },
    files: { "model.onnx": manifest.files["model.onnx"] ?? "" },
  };
}

/** `crypto.randomUUID` is missing where a server in the house is asked without HTTPS. */
function makeId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
