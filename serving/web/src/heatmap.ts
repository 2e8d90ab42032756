import type { Prediction } from "./api";
import { ramp } from "./ramp";

const SIDE = 256;

/** In widths or heights of the picture. `answer.html.jinja` has the same. */
const LEAST_MARGIN = 0.01;

/** Evidence from 0 to 1, row by row. */
interface Field {
  width: number;
  height: number;
  values: Float32Array;
}

/** For each canvas, which map was asked for last. */
const turns = new WeakMap<HTMLCanvasElement, symbol>();

/**
 * Paints a grey heatmap (a data URI) onto `canvas` in the ramp's colours, clear where there is no
 * evidence. Resolves to whether there is any.
 */
export async function paintHeatmap(canvas: HTMLCanvasElement, uri: string): Promise<boolean> {
  const turn = Symbol("turn");
  turns.set(canvas, turn);
  const map = await read(uri);
  const hasEvidence = map.values.some((evidence) => evidence > 0);
  // Maps that were asked for later may be read sooner.
  if (turns.get(canvas) !== turn) return hasEvidence;
  const { values } = enlarge(map, SIDE);
  canvas.width = SIDE;
  canvas.height = SIDE;
  const context = canvas.getContext("2d");
  if (!context) return hasEvidence;
  const pixels = context.createImageData(SIDE, SIDE);
  values.forEach((evidence, i) => {
    const step = Math.round(evidence * 255);
    pixels.data.set(ramp.subarray(step * 4, step * 4 + 4), i * 4);
  });
  context.putImageData(pixels, 0, 0);
  return hasEvidence;
}

/** Takes the map off `canvas`, one that is still being read too. */
export function clearHeatmap(canvas: HTMLCanvasElement): void {
  turns.delete(canvas);
  canvas.width = 0;
}

/** Lays `element` over the part of the picture that the model saw. */
export function place(element: HTMLElement, view: Prediction["view"]): void {
  const [left, top, right, bottom] = view;
  element.style.left = `${left * 100}%`;
  element.style.top = `${top * 100}%`;
  element.style.width = `${(right - left) * 100}%`;
  element.style.height = `${(bottom - top) * 100}%`;
}

/** Whether the model saw so much less than the whole picture that it has to be said. */
export function isPart([left, top]: Prediction["view"]): boolean {
  return Math.max(left, top) > LEAST_MARGIN;
}

async function read(uri: string): Promise<Field> {
  const image = new Image();
  image.src = uri;
  await image.decode();
  const { naturalWidth: width, naturalHeight: height } = image;
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  if (!context) throw new Error("This browser draws no 2D canvas");
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const values = Float32Array.from({ length: width * height }, (_, i) => (data[i * 4] ?? 0) / 255);
  return { width, height, values };
}

/**
 * `map` on a square of `side` pixels, bicubic (Catmull-Rom). The map is a few cells wide, and what
 * browsers do to enlarge a picture would show the cells' edges as shapes that mean nothing.
 */
function enlarge(map: Field, side: number): Field {
  const across = resampleRows(map, side);
  const down = resampleRows(transpose(across), side);
  const { values } = transpose(down);
  return { width: side, height: side, values: values.map((v) => Math.min(Math.max(v, 0), 1)) };
}

function resampleRows({ width, height, values }: Field, side: number): Field {
  const result = new Float32Array(side * height);
  for (let x = 0; x < side; x++) {
    const at = ((x + 0.5) * width) / side - 0.5;
    const first = Math.floor(at) - 1;
    const weights = cubicWeights(at - Math.floor(at));
    for (let y = 0; y < height; y++) {
      let sum = 0;
      weights.forEach((weight, i) => {
        const column = Math.min(Math.max(first + i, 0), width - 1);
        sum += weight * (values[y * width + column] ?? 0);
      });
      result[y * side + x] = sum;
    }
  }
  return { width: side, height, values: result };
}

function transpose({ width, height, values }: Field): Field {
  const result = new Float32Array(values.length);
  values.forEach((value, i) => {
    result[(i % width) * height + Math.floor(i / width)] = value;
  });
  return { width: height, height: width, values: result };
}

function cubicWeights(t: number): number[] {
  return [
    0.5 * (-t + 2 * t ** 2 - t ** 3),
    0.5 * (2 - 5 * t ** 2 + 3 * t ** 3),
    0.5 * (t + 4 * t ** 2 - 3 * t ** 3),
    0.5 * (-(t ** 2) + t ** 3),
  ];
}
