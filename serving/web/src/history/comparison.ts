import { givesPixels } from "../canvas";
import { clearHeatmap, paintHeatmap, place } from "../heatmap";
import { heatmapNotes, ranked, stated } from "../reading";
import { put, slot } from "../template";
import { fill, moment, percent, translate, words } from "../words";
import type { Result } from "./result";
import { chanceOf, headlineOf } from "./telling";

/** The other classes told under each picture: the rest is next to nothing. */
const MOST_NUMBERS = 3;

/** Fills `element` with two results of one spot side by side, the first and the last at first. */
export function makeComparison(
  element: HTMLElement,
  spot: string,
  group: Result[],
  urlOf: (blob: Blob) => string,
): void {
  put(element, "comparison-title", fill(words.history.compare_title, { spot }));
  const sides = ["left", "right"].map((name) => slot(element, name, "side"));
  const showMap = slot<HTMLInputElement>(element, "show-map");
  const dated = group.map((result, i) => [moment(new Date(result.date)), String(i)] as const);
  const chosen = sides.map((side, i) => {
    const choice = slot<HTMLSelectElement>(side, "choice");
    choice.append(...dated.map(([date, value]) => new Option(date, value)));
    choice.value = String(i === 0 ? 0 : group.length - 1);
    return (): Result | undefined => group[Number(choice.value)];
  });

  const update = (): void => {
    const [left, right] = chosen.map((result) => result());
    const differ = left?.manifest.files["model.onnx"] !== right?.manifest.files["model.onnx"];
    slot(element, "differ").hidden = !differ;
  };
  sides.forEach((side, i) => {
    const fillThis = (): void => {
      const result = chosen[i]?.();
      if (result) fillSide(side, result, urlOf);
      update();
    };
    slot(side, "choice").addEventListener("change", fillThis);
    fillThis();
  });
  showMap.addEventListener("change", () => {
    for (const side of sides) {
      for (const name of ["map", "map-notes"]) slot(side, name).hidden = !showMap.checked;
    }
  });
}

function fillSide(side: HTMLElement, result: Result, urlOf: (blob: Blob) => string): void {
  const { prediction } = result;
  const manifest = translate(result.manifest);
  const picture = slot<HTMLImageElement>(side, "picture");
  const url = urlOf(result.picture);
  picture.src = url;
  picture.alt = fill(words.history.picture_alt, { date: moment(new Date(result.date)) });
  put(side, "headline", headlineOf(result));
  put(side, "malignant", chanceOf(result));
  put(side, "model", fill(words.history.read_by, { model: manifest.title }));
  const about = stated(prediction, manifest);
  const others = ranked(prediction, manifest).filter(([{ id }]) => id !== about.id);
  const numbers = prediction.refused ? [] : others.slice(0, MOST_NUMBERS);
  slot(side, "numbers").replaceChildren(
    ...numbers.map(([{ name }, probability]) => {
      const item = document.createElement("li");
      const values = { name, percent: percent(probability) };
      item.textContent = fill(words.history.probability, values);
      return item;
    }),
  );
  const canvas = slot<HTMLCanvasElement>(side, "map");
  clearHeatmap(canvas);
  const notes = slot(side, "map-notes");
  notes.textContent = "";
  const map = prediction.refused ? undefined : prediction.heatmaps?.[about.id];
  if (!map) return;
  if (!givesPixels()) {
    notes.textContent = words.heatmap.guarded;
    return;
  }
  place(canvas, prediction.view);
  void paintHeatmap(canvas, map).then((hasEvidence) => {
    // Another may have been chosen meanwhile.
    if (picture.src === url) notes.textContent = heatmapNotes(manifest, about.name, hasEvidence);
  });
}
