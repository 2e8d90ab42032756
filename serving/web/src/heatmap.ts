import type { Prediction } from "./api";
import { ramp } from "./ramp";

const SIDE = 256;

/**
 * Paints a grey heatmap (a data URI) onto `canvas` in the ramp's colours, clear where there is no
 * evidence. Resolves to whether there is any.
 */
export async function paintHeatmap(canvas: HTMLCanvasElement, uri: string): Promise<boolean> {
  const map = new Image();
  map.src = uri;
  await map.decode();
  canvas.width = SIDE;
  canvas.height = SIDE;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) return false;
  // The map is a few cells wide: smoothed before it is coloured, so that no step is invented
  // between two colours of the ramp.
  context.imageSmoothingQuality = "high";
  context.drawImage(map, 0, 0, SIDE, SIDE);
  const pixels = context.getImageData(0, 0, SIDE, SIDE);
  let strongest = 0;
  for (let i = 0; i < pixels.data.length; i += 4) {
    const evidence = pixels.data[i] ?? 0;
    strongest = Math.max(strongest, evidence);
    pixels.data.set(ramp.subarray(evidence * 3, evidence * 3 + 3), i);
    pixels.data[i + 3] = opacity(evidence / 255);
  }
  context.putImageData(pixels, 0, 0);
  return strongest > 0;
}

/** Lays `canvas` over the part of the picture that the model saw. */
export function place(canvas: HTMLCanvasElement, view: Prediction["view"]): void {
  const [left, top, right, bottom] = view;
  canvas.style.left = `${left * 100}%`;
  canvas.style.top = `${top * 100}%`;
  canvas.style.width = `${(right - left) * 100}%`;
  canvas.style.height = `${(bottom - top) * 100}%`;
}

/** Opacity from 0 to 255: rises smoothly, so that weak evidence leaves the picture as it is. */
function opacity(evidence: number): number {
  return 255 * evidence * evidence * (3 - 2 * evidence);
}
