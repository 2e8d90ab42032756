import type { Manifest, Prediction } from "../api";

/**
 * The part of a picture of `width` x `height` pixels that the model sees, as `fit` of
 * serving/pictures.py has it.
 */
export function viewOf(
  width: number,
  height: number,
  { fit, size }: Manifest["preprocessing"],
): Prediction["view"] {
  if (fit === "squash") return [0, 0, 1, 1];
  if (fit === "crop") {
    const side = Math.min(width, height);
    const left = Math.floor((width - side) / 2);
    const top = Math.floor((height - side) / 2);
    return [left / width, top / height, (left + side) / width, (top + side) / height];
  }
  const side = Math.max(width, height);
  const across = Math.max(1, roundToEven((size * width) / side));
  const down = Math.max(1, roundToEven((size * height) / side));
  const left = Math.floor((size - across) / 2);
  const top = Math.floor((size - down) / 2);
  return [-left / across, -top / down, (size - left) / across, (size - top) / down];
}

/** As Python and the graph round: halves to the even number. */
function roundToEven(value: number): number {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 === 1 ? rounded - 1 : rounded;
}
