/** An upright sRGB picture on white. */
export interface Upright {
  /** Pixels of the picture itself, from left to right and from top to bottom. */
  width: number;
  height: number;
  /** What is left of them in `pixels`. */
  columns: number;
  rows: number;
  /** `[rows, columns, 3]`: red, green, blue. */
  pixels: Uint8Array;
}

/** A file that this browser cannot decode. */
export class DecodeError extends Error {}

/** The most that a picture is shrunk by: libjpeg shrinks no further while it decodes. */
const MOST = 8;

/** Pixels: the height of the strips that a picture is drawn in, so that it is held only once. */
const STRIP = 512;

/**
 * Decodes `picture` as serving/pictures.py does. Like there a large one is shrunk by 2, 4 or 8, but
 * no side below `least` pixels.
 */
export async function decode(picture: Blob, least: number): Promise<Upright> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(picture, { imageOrientation: "from-image" });
  } catch {
    throw new DecodeError();
  }
  const { width, height } = bitmap;
  let factor = MOST;
  while (factor > 1 && Math.min(width, height) < factor * least) factor /= 2;
  const columns = Math.ceil(width / factor);
  const rows = Math.ceil(height / factor);
  const pixels = new Uint8Array(columns * rows * 3);
  const canvas = new OffscreenCanvas(width, Math.min(height, STRIP));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new DecodeError();
  for (let top = 0; top < height; top += STRIP) {
    const strip = Math.min(STRIP, height - top);
    context.fillStyle = "white";
    context.fillRect(0, 0, width, strip);
    context.drawImage(bitmap, 0, -top);
    const { data } = context.getImageData(0, 0, width, strip);
    pixels.set(shrink(data, width, strip, factor), (top / factor) * columns * 3);
  }
  bitmap.close();
  return { width, height, columns, rows, pixels };
}

/** The means of squares of `factor` pixels; at the right and below, of what there is of them. */
function shrink(
  data: Uint8ClampedArray,
  width: number,
  height: number,
  factor: number,
): Uint8Array {
  const columns = Math.ceil(width / factor);
  const rows = Math.ceil(height / factor);
  const result = new Uint8Array(columns * rows * 3);
  for (let row = 0; row < rows; row++) {
    const bottom = Math.min((row + 1) * factor, height);
    for (let column = 0; column < columns; column++) {
      const right = Math.min((column + 1) * factor, width);
      let [red, green, blue, count] = [0, 0, 0, 0];
      for (let y = row * factor; y < bottom; y++) {
        for (let x = column * factor; x < right; x++) {
          const at = (y * width + x) * 4;
          red += data[at] ?? 0;
          green += data[at + 1] ?? 0;
          blue += data[at + 2] ?? 0;
          count += 1;
        }
      }
      const to = (row * columns + column) * 3;
      result[to] = Math.round(red / count);
      result[to + 1] = Math.round(green / count);
      result[to + 2] = Math.round(blue / count);
    }
  }
  return result;
}
