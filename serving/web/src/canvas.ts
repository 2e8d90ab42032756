/** Levels: some browsers blur what they give by one, which no answer hangs on. */
const TOLERANCE = 2;

/** Opaque, and of many levels: what a browser makes up is none of them. */
const COLOURS = [
  [201, 33, 67],
  [23, 180, 91],
  [44, 71, 222],
  [250, 239, 11],
] as const;

let isGiven: boolean | null = null;

/**
 * Whether this browser gives a page the pixels of a canvas as they were painted. One that guards
 * against being recognised by them (Tor, LibreWolf) makes some up, and says nothing.
 */
export function givesPixels(): boolean {
  return (isGiven ??= check());
}

function check(): boolean {
  const canvas = document.createElement("canvas");
  canvas.width = COLOURS.length;
  canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) return false;
  COLOURS.forEach((colour, x) => {
    context.fillStyle = `rgb(${colour.join(" ")})`;
    context.fillRect(x, 0, 1, 1);
  });
  const { data } = context.getImageData(0, 0, COLOURS.length, 1);
  return COLOURS.flat().every((level, i) => {
    const given = data[Math.floor(i / 3) * 4 + (i % 3)] ?? 0;
    return Math.abs(given - level) <= TOLERANCE;
  });
}
