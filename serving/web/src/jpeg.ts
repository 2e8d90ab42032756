import { givesPixels } from "./canvas";
import type { Size } from "./picture";

/** A rectangle of a picture in its pixels. */
export interface Part extends Size {
  x: number;
  y: number;
}

/** The part of `image`, `size` pixels large, as JPEG. What is transparent is laid on white. */
export function encodeJpeg(
  image: CanvasImageSource,
  { x, y, width, height }: Part,
  size: Size,
  quality: number,
): Promise<Blob> {
  // Nothing that was made up is sent or kept.
  if (!givesPixels()) throw new Error("This browser gives no pixels of a canvas");
  const canvas = document.createElement("canvas");
  canvas.width = size.width;
  canvas.height = size.height;
  const context = canvas.getContext("2d");
  if (!context) throw new Error("This browser draws no 2D canvas");
  // JPEG knows no transparency, and the server lays it on white.
  context.fillStyle = "white";
  context.fillRect(0, 0, size.width, size.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, x, y, width, height, 0, 0, size.width, size.height);
  return new Promise((resolve, reject) => {
    canvas.toBlob(
      (blob) => (blob ? resolve(blob) : reject(new Error("This browser encodes no JPEG"))),
      "image/jpeg",
      quality,
    );
  });
}
