import type { Manifest } from "../api";
import type { Outputs } from "./prediction";

/** Each class's heatmap as a grey PNG in a data URI, as the server sends them. */
export async function heatmapsOf(
  manifest: Manifest,
  { heatmap, rows, columns }: Outputs,
): Promise<Record<string, string>> {
  const cells = rows * columns;
  const drawn = manifest.classes.map(async ({ id }, i) => {
    const map = heatmap.subarray(i * cells, (i + 1) * cells);
    return [id, await draw(map, rows, columns)] as const;
  });
  return Object.fromEntries(await Promise.all(drawn));
}

async function draw(map: Float32Array, rows: number, columns: number): Promise<string> {
  const canvas = new OffscreenCanvas(columns, rows);
  const context = canvas.getContext("2d");
  if (!context) throw new Error("This browser draws no 2D canvas");
  const pixels = context.createImageData(columns, rows);
  map.forEach((evidence, i) => {
    // An array of clamped bytes rounds, holds values within 0 and 255, and takes NaN for 0.
    pixels.data.fill(evidence * 255, i * 4, i * 4 + 3);
    pixels.data[i * 4 + 3] = 255;
  });
  context.putImageData(pixels, 0, 0);
  return asDataUri(await canvas.convertToBlob({ type: "image/png" }));
}

async function asDataUri(blob: Blob): Promise<string> {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  return `data:${blob.type};base64,${btoa(String.fromCharCode(...bytes))}`;
}
