import { givesPixels } from "./canvas";
import { encodeJpeg } from "./jpeg";
import type { Cut, Picture, Size } from "./picture";

/** Pixels of the shorter side that a large picture is shrunk to, where no model needs more. */
const SIDE = 1024;
/** A picture of no more pixels, or bytes, than these goes as it came. */
const FEW_PIXELS = 1.5e6;
const FEW_BYTES = 1e6;
const QUALITY = 0.95;

/** A picture as it is read, beside the upright pixels of the file that it came from. */
export interface Prepared {
  picture: Picture;
  original: Size | null;
}

/** The picture before. Decoding takes four bytes a pixel: two of 48 megapixels at once are many. */
let last: Promise<unknown> = Promise.resolve();

/**
 * Opens `file` and makes of it what is read: the part that `cut` leaves (null: all), its shorter
 * side brought down to 1024 pixels or `leastSide`, whichever is more, upright and in sRGB. A small
 * file that is not cut stays as it is, byte for byte; so does one that this browser cannot decode, or
 * whose pixels it does not give.
 */
export function prepare(file: File, leastSide: number, cut: Cut | null): Promise<Prepared> {
  const prepared = last.then(() => prepareOne(file, leastSide, cut));
  last = prepared.catch(() => {});
  return prepared;
}

async function prepareOne(file: File, leastSide: number, cut: Cut | null): Promise<Prepared> {
  const url = URL.createObjectURL(file);
  const image = new Image();
  image.src = url;
  try {
    await image.decode();
  } catch {
    return { picture: { file, url, size: null }, original: null };
  }
  const original = { width: image.naturalWidth, height: image.naturalHeight };
  const few = original.width * original.height <= FEW_PIXELS || file.size <= FEW_BYTES;
  if (!cut && (few || !givesPixels())) return { picture: { file, url, size: original }, original };
  try {
    return { picture: await draw(image, file, Math.max(SIDE, leastSide), cut), original };
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** Draws the part of `image`, which the browser has turned upright and brought to sRGB. */
async function draw(
  image: HTMLImageElement,
  { name, lastModified }: File,
  side: number,
  cut: Cut | null,
): Promise<Picture> {
  const { naturalWidth, naturalHeight } = image;
  const [left, top, right, bottom] = cut ?? [0, 0, 1, 1];
  const x = Math.round(left * naturalWidth);
  const y = Math.round(top * naturalHeight);
  const width = Math.max(1, Math.round(right * naturalWidth) - x);
  const height = Math.max(1, Math.round(bottom * naturalHeight) - y);
  const scale = Math.min(1, side / Math.min(width, height));
  const size = {
    width: Math.max(1, Math.round(width * scale)),
    height: Math.max(1, Math.round(height * scale)),
  };
  const blob = await encodeJpeg(image, { x, y, width, height }, size, QUALITY);
  const file = new File([blob], name, { type: "image/jpeg", lastModified });
  return { file, url: URL.createObjectURL(file), size };
}
