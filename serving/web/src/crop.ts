import type { Cut, Picture } from "./picture";
import { byId, slot } from "./template";
import { fill, words } from "./words";

/** Pixels of the picture: the side of the smallest part that may be cut out. */
const LEAST_SIDE = 96;
const STEP = 0.03;
const LONG_STEP = 0.15;
const ZOOM_STEP = 1.1;

/** A square within the picture: its left upper corner and its side, in the picture's pixels. */
interface Square {
  x: number;
  y: number;
  side: number;
}

/**
 * Lets a square of `picture` be chosen in the page's dialog, by dragging, pinching, the wheel, the
 * slider or keys. Resolves to it, to null for the whole picture, or to undefined where all shall
 * stay as it was.
 */
export async function chooseCut(
  picture: Picture,
  before: Cut | null,
): Promise<Cut | null | undefined> {
  const { size, url } = picture;
  const dialog = byId<HTMLDialogElement>("crop");
  if (!size) return undefined;
  const stage = slot(dialog, "stage", "crop");
  const frame = slot(dialog, "frame", "crop");
  const image = slot<HTMLImageElement>(dialog, "image", "crop");
  const zoom = slot<HTMLInputElement>(dialog, "zoom", "crop");

  const most = Math.min(size.width, size.height);
  const least = Math.min(LEAST_SIDE, most);
  const middle: Square = { x: (size.width - most) / 2, y: (size.height - most) / 2, side: most };
  let square = before
    ? {
        x: before[0] * size.width,
        y: before[1] * size.height,
        side: (before[2] - before[0]) * size.width,
      }
    : middle;

  /** Sets the square, kept within the picture. */
  const set = ({ x, y, side }: Square): void => {
    const kept = clamp(side, least, most);
    square = {
      x: clamp(x, 0, size.width - kept),
      y: clamp(y, 0, size.height - kept),
      side: kept,
    };
    show();
  };
  /** Zooms by `factor` around a point of the frame, as shares of it. */
  const zoomBy = (factor: number, [across, down]: [number, number] = [0.5, 0.5]): void => {
    const side = clamp(square.side / factor, least, most);
    const gone = square.side - side;
    set({ x: square.x + gone * across, y: square.y + gone * down, side });
  };
  const moveBy = (across: number, down: number): void =>
    set({ ...square, x: square.x + across * square.side, y: square.y + down * square.side });

  const show = (): void => {
    const scale = frame.clientWidth / square.side;
    image.style.width = `${size.width * scale}px`;
    image.style.height = `${size.height * scale}px`;
    image.style.transform = `translate(${-square.x * scale}px, ${-square.y * scale}px)`;
    zoom.value = String(Math.round((100 * Math.log(most / square.side)) / Math.log(most / least)));
    const share = Math.round((100 * square.side ** 2) / (size.width * size.height));
    zoom.setAttribute("aria-valuetext", fill(words.crop.share, { share }));
    slot(dialog, "share", "crop").textContent = fill(words.crop.share, { share });
  };

  const listening = new AbortController();
  const { signal } = listening;
  const within = (event: PointerEvent | WheelEvent): [number, number] => {
    const box = frame.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };

  const pointers = new Map<number, [number, number]>();
  const held = (event: PointerEvent): void => {
    const from = pointers.get(event.pointerId);
    if (!from) return;
    const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    const to = within(event);
    pointers.set(event.pointerId, to);
    const [other] = others;
    if (other) {
      const middleOf = (at: [number, number]): [number, number] => [
        (at[0] + other[0]) / 2,
        (at[1] + other[1]) / 2,
      ];
      const [was, is] = [middleOf(from), middleOf(to)];
      moveBy(was[0] - is[0], was[1] - is[1]);
      zoomBy(distance(to, other) / Math.max(distance(from, other), 0.01), is);
    } else {
      moveBy(from[0] - to[0], from[1] - to[1]);
    }
  };
  stage.addEventListener(
    "pointerdown",
    (event) => {
      // The context menu would swallow the end of a right click.
      if (event.button !== 0) return;
      stage.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, within(event));
    },
    { signal },
  );
  stage.addEventListener("pointermove", held, { signal });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"] as const) {
    stage.addEventListener(end, (event) => pointers.delete(event.pointerId), { signal });
  }
  stage.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      zoomBy(Math.exp(-event.deltaY / 400), within(event));
    },
    { signal, passive: false },
  );
  stage.addEventListener(
    "keydown",
    (event) => {
      const step = event.shiftKey ? LONG_STEP : STEP;
      const doings: Record<string, () => void> = {
        ArrowLeft: () => moveBy(-step, 0),
        ArrowRight: () => moveBy(step, 0),
        ArrowUp: () => moveBy(0, -step),
        ArrowDown: () => moveBy(0, step),
        "+": () => zoomBy(ZOOM_STEP),
        "=": () => zoomBy(ZOOM_STEP),
        "-": () => zoomBy(1 / ZOOM_STEP),
        Home: () => set(middle),
      };
      const doing = doings[event.key];
      if (!doing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      doing();
    },
    { signal },
  );
  zoom.addEventListener(
    "input",
    () => {
      const side = most * (least / most) ** (zoom.valueAsNumber / 100);
      zoomBy(square.side / side);
    },
    { signal },
  );
  window.addEventListener("resize", show, { signal });

  image.src = url;
  dialog.returnValue = "";
  dialog.showModal();
  show();
  stage.focus();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  listening.abort();
  image.removeAttribute("src");

  if (dialog.returnValue === "whole") return null;
  if (dialog.returnValue !== "part") return undefined;
  return [
    square.x / size.width,
    square.y / size.height,
    (square.x + square.side) / size.width,
    (square.y + square.side) / size.height,
  ];
}

function distance(one: [number, number], other: [number, number]): number {
  return Math.hypot(one[0] - other[0], one[1] - other[1]);
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}
