/**
 * The heatmap's colours: from deep violet over teal to yellow, in equal steps of lightness and hue
 * in OKLCH, so that equal steps of evidence look equal, also to eyes that confuse red and green.
 */
const STEPS = 256;

/** The ramp as `STEPS` opaque colours, `[STEPS * 3]` of red, green, blue from 0 to 255. */
export const ramp: Uint8ClampedArray = makeRamp();

/** Paints the ramp from left to right, as a legend. */
export function paintLegend(canvas: HTMLCanvasElement): void {
  canvas.width = STEPS;
  canvas.height = 1;
  const context = canvas.getContext("2d");
  if (!context) return;
  const strip = context.createImageData(STEPS, 1);
  for (let i = 0; i < STEPS; i++) {
    strip.data.set(ramp.subarray(i * 3, i * 3 + 3), i * 4);
    strip.data[i * 4 + 3] = 255;
  }
  context.putImageData(strip, 0, 0);
}

function makeRamp(): Uint8ClampedArray {
  const colours = new Uint8ClampedArray(STEPS * 3);
  for (let i = 0; i < STEPS; i++) {
    const t = i / (STEPS - 1);
    const chroma = 0.1 + 0.08 * t;
    colours.set(fromOklch(0.34 + 0.58 * t, chroma, 300 - 195 * t), i * 3);
  }
  return colours;
}

/** sRGB from 0 to 255 of an OKLCH colour (Björn Ottosson's OKLab), hue in degrees. */
function fromOklch(lightness: number, chroma: number, hue: number): [number, number, number] {
  const angle = (hue * Math.PI) / 180;
  const a = chroma * Math.cos(angle);
  const b = chroma * Math.sin(angle);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    gamma(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    gamma(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    gamma(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}

function gamma(linear: number): number {
  const value = linear <= 0.0031308 ? 12.92 * linear : 1.055 * linear ** (1 / 2.4) - 0.055;
  return 255 * value;
}
