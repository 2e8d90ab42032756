import type { Warning } from "../api";
import type { WholeManifest } from "./manifest";

const LEVELS = 256;
const THRESHOLDS = 64;
/** Of white; what deviates by less is noise, and no contrast. */
const FLAT = 1e-3;

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
  const counts = histogram(grey);
  const contrast = Math.max(deviation(counts, grey.length), FLAT * LEVELS);
  const measures: Measures = {
    side: Math.min(width, height),
    sharpness: deviationOfLaplacian(grey, size) / contrast,
    luminance: median(counts, grey.length) / LEVELS,
    lesionShare: darkShare(counts, grey.length),
  };
  const found: [boolean, Warning][] = [
    [measures.luminance < quality.min_luminance, "dark"],
    [measures.sharpness < quality.min_sharpness, "blurred"],
    [measures.lesionShare < quality.min_lesion_share, "small_lesion"],
    [measures.side < quality.min_side, "few_pixels"],
  ];
  return found.filter(([isSo]) => isSo).map(([, warning]) => warning);
}

/** ITU-R BT.601's grey in levels, which a pixel may lie between. */
function greys(pixels: Uint8Array): Float32Array {
  return Float32Array.from({ length: pixels.length / 3 }, (_, i) => {
    const [red = 0, green = 0, blue = 0] = pixels.subarray(i * 3, i * 3 + 3);
    return ((0.299 * red + 0.587 * green + 0.114 * blue) * LEVELS) / 255;
  });
}

function histogram(grey: Float32Array): Float64Array {
  const counts = new Float64Array(LEVELS);
  for (const value of grey) {
    const level = Math.min(Math.floor(value), LEVELS - 1);
    counts[level] = (counts[level] ?? 0) + 1;
  }
  return counts;
}

/** Over that of the picture itself it is its sharpness: contrast cancels. */
function deviationOfLaplacian(grey: Float32Array, size: number): number {
  const at = (x: number, y: number): number => grey[y * size + x] ?? 0;
  let [count, sum, squares] = [0, 0, 0];
  for (let y = 1; y < size - 1; y++) {
    for (let x = 1; x < size - 1; x++) {
      const value = at(x, y - 1) + at(x, y + 1) + at(x - 1, y) + at(x + 1, y) - 4 * at(x, y);
      [count, sum, squares] = [count + 1, sum + value, squares + value ** 2];
    }
  }
  return Math.sqrt(Math.max(0, squares / count - (sum / count) ** 2));
}

/** The standard deviation in levels. */
function deviation(counts: Float64Array, pixels: number): number {
  const mean = total(counts.map((count, level) => count * (level + 0.5))) / pixels;
  return Math.sqrt(total(counts.map((count, level) => count * (level + 0.5 - mean) ** 2)) / pixels);
}

/** The median to the nearest level's middle. */
function median(counts: Float64Array, pixels: number): number {
  const below = cumulative(counts);
  const levelOf = (place: number): number => below.findIndex((count) => count >= place);
  return (levelOf(Math.ceil(pixels / 2)) + levelOf(Math.floor(pixels / 2) + 1) + 1) / 2;
}

/** Share of the picture below Otsu's threshold: a lesion is darker than the skin around it. */
function darkShare(counts: Float64Array, pixels: number): number {
  const bins = new Float64Array(THRESHOLDS);
  counts.forEach((count, level) => {
    const bin = Math.floor((level * THRESHOLDS) / LEVELS);
    bins[bin] = (bins[bin] ?? 0) + count;
  });
  // Summed and divided in the server's order: a picture of one grey has nothing but rounding here.
  const share = cumulative(bins).map((count) => count / pixels);
  const weighted = bins.map((count, bin) => count * ((bin + 0.5) / THRESHOLDS));
  const mean = cumulative(weighted).map((sum) => sum / pixels);
  const whole = mean[THRESHOLDS - 1] ?? 0;
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

function total(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0);
}
