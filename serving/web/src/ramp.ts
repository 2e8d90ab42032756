import { colours } from "../../ramp.json";

const STEPS = 256;

/** The heatmap's colours (serving/ramp.py), `[STEPS * 4]`: red, green, blue, opacity to 255. */
export const ramp: Uint8ClampedArray = makeRamp();

/** Paints the ramp from left to right, as a legend. */
export function paintLegend(canvas: HTMLCanvasElement): void {
  canvas.width = STEPS;
  canvas.height = 1;
  const context = canvas.getContext("2d");
  if (!context) return;
  const strip = context.createImageData(STEPS, 1);
  strip.data.set(ramp);
  for (let i = 0; i < STEPS; i++) strip.data[i * 4 + 3] = 255;
  context.putImageData(strip, 0, 0);
}

function makeRamp(): Uint8ClampedArray {
  const steps = new Uint8ClampedArray(STEPS * 4);
  for (let i = 0; i < STEPS; i++) {
    const at = (i / (STEPS - 1)) * (colours.length - 1);
    const before = colours[Math.floor(at)] ?? [];
    const after = colours[Math.ceil(at)] ?? [];
    const share = at - Math.floor(at);
    steps.set(
      before.map((level, channel) => level + share * ((after[channel] ?? level) - level)),
      i * 4,
    );
  }
  return steps;
}
