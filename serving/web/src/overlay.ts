import type { Manifest, Prediction } from "./api";
import { givesPixels } from "./canvas";
import { isPart, paintHeatmap, place } from "./heatmap";
import type { Picture } from "./picture";
import { paintLegend } from "./ramp";
import { classOf, heatmapDoubt, ranked, stated } from "./reading";
import { slot } from "./template";
import { fill, inPercent, phrase, words } from "./words";

/** Pixels: the tallest that a picture in portrait stands. */
const MAX_HEIGHT = 420;

/**
 * Lays the heatmap of the class that the answer is about over a copy of the picture, and lets its
 * class and its strength be chosen. Hides `section` where there is no picture to show or no map, and
 * says so where this browser cannot read the map.
 */
export function layOver(
  section: HTMLElement,
  prediction: Prediction,
  manifest: Manifest,
  { file, url, size }: Picture,
): void {
  const { heatmaps, view } = prediction;
  section.hidden = !heatmaps || !size;
  if (!heatmaps || !size) return;
  // Of made-up pixels there would be a made-up map.
  slot(section, "map-body").hidden = !givesPixels();
  slot(section, "map-guarded").hidden = givesPixels();
  if (!givesPixels()) return;
  const canvas = slot<HTMLCanvasElement>(section, "map");
  const picture = slot<HTMLImageElement>(section, "map-picture");
  const choice = slot<HTMLSelectElement>(section, "map-class");
  const strength = slot<HTMLInputElement>(section, "map-strength");
  const percent = slot(section, "map-percent");
  const none = slot(section, "map-none");

  picture.src = url;
  picture.alt = fill(words.picture.analysed_alt, { name: file.name });
  picture.width = size.width;
  picture.height = size.height;
  slot(section, "map-frame").style.maxWidth = `${(MAX_HEIGHT * size.width) / size.height}px`;
  place(canvas, view);
  place(slot(section, "map-view"), view);
  for (const name of ["map-view", "map-view-note"]) slot(section, name).hidden = !isPart(view);
  const doubt = heatmapDoubt(manifest);
  slot(section, "map-doubt").hidden = !doubt;
  slot(section, "map-doubt").textContent = doubt ? words.heatmap[doubt] : "";
  paintLegend(slot<HTMLCanvasElement>(section, "map-legend"));
  choice.replaceChildren(...ranked(prediction, manifest).map(([c]) => new Option(c.name, c.id)));
  choice.value = stated(prediction, manifest).id;

  const paint = async (): Promise<void> => {
    const id = choice.value;
    const uri = heatmaps[id];
    if (!uri) return;
    const name = phrase(classOf(manifest, id).name);
    const hasEvidence = await paintHeatmap(canvas, uri);
    if (choice.value !== id) return;
    canvas.setAttribute("aria-label", fill(words.heatmap.alt, { name }));
    none.hidden = hasEvidence;
    none.textContent = fill(words.heatmap.none, { name });
  };
  const fade = (): void => {
    canvas.style.opacity = String(strength.valueAsNumber / 100);
    percent.textContent = inPercent(strength.value);
    strength.setAttribute("aria-valuetext", percent.textContent);
  };
  choice.addEventListener("change", () => void paint());
  strength.addEventListener("input", fade);
  fade();
  void paint();
}
