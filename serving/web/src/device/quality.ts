import type { Warning } from "../api";
import type { WholeManifest } from "./manifest";

const BINS = 64;

/** The figures that a manifest's `quality` holds thresholds for. */
interface Measures {
  side: number;
  sharpness: number;
  luminance: number;
  lesionShare: number;
}

/**
 * What may be wrong with a picture of `width` x `height` pixels, worst first, told from what the
 * network sees of it: `pixels` `[size, size, 3]`. The same figures as in serving/quality.py.
 */
export function warningsFor(
  pixels: Uint8Array,
  size: number,
  width: number,
  height: number,
  quality: WholeManifest["quality"],
): Warning[] {
  const grey = greys(pixels);
  const measures: Measures = {
    side: Math.min(width, height),
    sharpness: sharpness(grey, size),
    luminance: median(grey),
    lesionShare: darkShare(grey),
  };
  const found: [boolean, Warning][] = [
    [measures.luminance < quality.min_luminance, "dark"],
    [measures.sharpness < quality.min_sharpness, "blurred"],
    [measures.lesionShare < quality.min_lesion_share, "small_lesion"],
    [measures.side < quality.min_side, "few_pixels"],
  ];
  return found.filter(([isSo]) => isSo).map(([, warning]) => warning);
}

function greys(pixels: Uint8Array): Float32Array {
  return Float32Array.from({ length: pixels.length / 3 }, (_, i) => {
    const [red = 0, green = 0, blue = 0] = pixels.subarray(i * 3, i * 3 + 3);
    return (0.299 * red + 0.587 * green + 0.114 * blue) / 255;
  });
}

/** Standard deviation of the Laplacian over that of the picture, so that contrast cancels. */
function sharpness(grey: Float32Array, size: number): number {
  const at = (x: number, y: number): number => grey[y * size + x] ?? 0;
  const laplacian: number[] = [];
  for (let y = 1; y < size - 1; y++) {
    for (let x = 1; x < size - 1; x++) {
      laplacian.push(at(x, y - 1) + at(x, y + 1) + at(x - 1, y) + at(x + 1, y) - 4 * at(x, y));
    }
  }
  return deviation(laplacian) / Math.max(deviation(grey), 1e-3);
}

function deviation(values: ArrayLike<number>): number {
  const { length } = values;
  let sum = 0;
  for (let i = 0; i < length; i++) sum += values[i] ?? 0;
  const mean = sum / length;
  let squares = 0;
  for (let i = 0; i < length; i++) squares += ((values[i] ?? 0) - mean) ** 2;
  return Math.sqrt(squares / length);
}

function median(values: Float32Array): number {
  const sorted = values.toSorted();
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? 0) + (sorted[Math.floor(middle)] ?? 0)) / 2;
}

/** Share of the picture below Otsu's threshold: a lesion is darker than the skin around it. */
function darkShare(grey: Float32Array): number {
  const counts = new Float64Array(BINS);
  for (const value of grey) {
    const bin = Math.min(Math.floor(value * BINS), BINS - 1);
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
  // Summed and divided in the server's order: a picture of one grey has nothing but rounding here.
  const share = cumulative(counts).map((count) => count / grey.length);
  const weighted = counts.map((count, bin) => count * ((bin + 0.5) / BINS));
  const mean = cumulative(weighted).map((sum) => sum / grey.length);
  const whole = mean[BINS - 1] ?? 0;
  let [best, shareAtBest] = [-1, 0];
  share.forEach((below, bin) => {
    const inside = Math.max(below * (1 - below), 1e-9);
    const between = (whole * below - (mean[bin] ?? 0)) ** 2 / inside;
    if (between > best) [best, shareAtBest] = [between, below];
  });
  return shareAtBest;
}

function cumulative(values: Float64Array): Float64Array {
  let sum = 0;
  return values.map((value) => (sum += value));
}
