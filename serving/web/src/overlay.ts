import type { Manifest, Prediction } from "./api";
import { paintHeatmap, place } from "./heatmap";
import { paintLegend } from "./ramp";
import { classOf, ranked } from "./reading";
import { fill, phrase, words } from "./words";

/** The heatmap over the picture, with the choice of diagnosis and of strength below it. */
export class HeatmapControls {
  readonly #canvas = find<HTMLCanvasElement>("heatmap");
  readonly #controls = find<HTMLFieldSetElement>("map-controls");
  readonly #choice = find<HTMLSelectElement>("map-class");
  readonly #strength = find<HTMLInputElement>("map-strength");
  readonly #value = find<HTMLOutputElement>("map-strength-value");
  readonly #none = find("map-none");
  #shown: { prediction: Prediction; manifest: Manifest } | null = null;

  constructor() {
    paintLegend(find<HTMLCanvasElement>("map-legend"));
    this.#choice.addEventListener("change", () => void this.#paint());
    this.#strength.addEventListener("input", () => this.#fade());
    this.#fade();
  }

  /** Lays the map of the predicted class over the picture. */
  show(prediction: Prediction, manifest: Manifest): void {
    if (!prediction.heatmaps) return;
    this.#shown = { prediction, manifest };
    this.#choice.replaceChildren(
      ...ranked(prediction, manifest).map(([c]) => new Option(c.name, c.id)),
    );
    this.#choice.value = prediction.prediction;
    place(this.#canvas, prediction.view);
    this.#controls.hidden = false;
    void this.#paint();
  }

  /** Takes map and controls away. */
  hide(): void {
    this.#shown = null;
    this.#canvas.hidden = true;
    this.#controls.hidden = true;
  }

  async #paint(): Promise<void> {
    const shown = this.#shown;
    const id = this.#choice.value;
    const uri = shown?.prediction.heatmaps?.[id];
    if (!shown || !uri) return;
    const hasEvidence = await paintHeatmap(this.#canvas, uri);
    if (this.#shown !== shown || this.#choice.value !== id) return;
    const name = phrase(classOf(shown.manifest, id).name);
    this.#canvas.hidden = false;
    this.#canvas.setAttribute("aria-label", fill(words.heatmap.alt, { name }));
    this.#none.hidden = hasEvidence;
    this.#none.textContent = fill(words.heatmap.none, { name });
  }

  #fade(): void {
    this.#canvas.style.opacity = String(this.#strength.valueAsNumber / 100);
    this.#value.textContent = `${this.#strength.value}%`;
  }
}

function find<E extends HTMLElement>(id: string): E {
  const element = document.getElementById(id);
  if (!element) throw new Error(`The page has no #${id}`);
  return element as E;
}
