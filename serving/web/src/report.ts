import type { Answered, Card } from "./card";
import { givesPixels } from "./canvas";
import { paintHeatmap, place } from "./heatmap";
import { classOf, hasKinds, heatmapNotes, ranked, read, stated } from "./reading";
import { byId, clone, put, slot } from "./template";
import { decimal, exactPercent, fill, finePercent, moment, percent, phrase, words } from "./words";

/** The most classes whose probability is printed: the report is one page. */
const MOST_ROWS = 10;

interface Report {
  answered: Answered;
  element: HTMLElement;
  /** Settles when its pictures can be printed. */
  ready: Promise<unknown>;
}

const reports = new Map<Card, Report>();

addEventListener("beforeprint", prune);

/** Has the answer printed, or saved as PDF, on a page of its own. */
export async function printReport(answered: Answered): Promise<void> {
  const { element, ready } = addReport(answered);
  await ready;
  prune();
  const others = [...reports.values()].filter((report) => report.element !== element);
  for (const other of others) other.element.hidden = true;
  // Where `print` returns before the pages were made, they must not be back yet.
  const bringBack = (): void => {
    for (const other of others) other.element.hidden = false;
  };
  addEventListener("afterprint", bringBack, { once: true });
  print();
}

/** Puts the answer's report where the style sheet for print shows it. */
export function addReport(answered: Answered): Report {
  const known = reports.get(answered.card);
  if (known?.answered === answered) return known;
  prune();
  const report = make(answered);
  reports.set(answered.card, report);
  byId("reports").append(report.element);
  return report;
}

/** Takes away the reports of answers that no longer stand on the page. */
function prune(): void {
  for (const [card, { answered, element }] of reports) {
    if (card.answered === answered && card.element.isConnected) continue;
    element.remove();
    reports.delete(card);
  }
}

function make(answered: Answered): Report {
  const { card, picture, prediction, manifest } = answered;
  const element = clone(byId("report-template"));
  const reading = read(prediction, manifest);
  put(element, "date", moment(new Date(answered.date)));
  put(element, "headline", reading.headline);
  put(element, "text", reading.text);
  put(element, "model", `${manifest.title}, ${manifest.architecture}`);
  put(element, "digest", manifest.files["model.onnx"] ?? "–");
  const size = fill(words.details.pixels, { width: prediction.width, height: prediction.height });
  put(element, "file", `${picture.name}, ${size}`);
  put(
    element,
    "novelty",
    fill(words.details.novelty_of, {
      value: decimal(prediction.novelty.toPrecision(3)),
      threshold: decimal(manifest.novelty_threshold.toPrecision(3)),
    }),
  );
  for (const warning of prediction.warnings) {
    const item = document.createElement("li");
    item.textContent = words.warnings[warning] ?? warning;
    slot(element, "warnings").append(item);
  }

  const images = ["picture", "under"].map((name) => slot<HTMLImageElement>(element, name));
  if (card.shown) for (const image of images) image.src = card.shown;
  const pictures = Promise.all(images.map((image) => image.decode()));
  const about = stated(prediction, manifest);
  const heatmap = prediction.heatmaps?.[about.id];
  const part = (name: string): Element | null => element.querySelector(`[data-part=${name}]`);
  let painted: Promise<unknown> = Promise.resolve();
  if (prediction.refused) part("numbers")?.remove();
  else fillNumbers(answered, element);
  if (prediction.refused || !heatmap) {
    part("map")?.remove();
  } else {
    put(element, "map-title", fill(words.report.map, { name: phrase(about.name) }));
    const canvas = slot<HTMLCanvasElement>(element, "heatmap");
    // It is out of the report by then where the picture could not be shown.
    const notes = slot(element, "map-notes");
    if (givesPixels()) {
      place(canvas, prediction.view);
      painted = paintHeatmap(canvas, heatmap).then((hasEvidence) => {
        notes.textContent = heatmapNotes(manifest, about.name, hasEvidence);
      });
    } else {
      slot(element, "frame").remove();
      notes.textContent = words.heatmap.guarded;
    }
  }
  // A picture that this browser cannot show is left out, and the rest is printed.
  const shown = pictures.catch(() => slot(element, "picture").closest("div")?.remove());
  const ready = Promise.all([shown, painted]).then(() => element.setAttribute("data-ready", ""));
  return { answered, element, ready };
}

function fillNumbers({ prediction, manifest }: Answered, element: HTMLElement): void {
  const all = ranked(prediction, manifest);
  for (const [c, probability] of all.slice(0, MOST_ROWS)) {
    const row = clone(slot(element, "row", "row"));
    put(row, "name", c.name);
    const kind = c.malignant ? words.chart.malignant : words.chart.benign;
    put(row, "kind", hasKinds(manifest) ? kind : "");
    put(row, "value", percent(probability));
    row.querySelector("[data-bar]")?.setAttribute("width", `${(probability * 100).toFixed(2)}%`);
    slot(element, "rows").append(row);
  }
  const left = all.length - MOST_ROWS;
  put(element, "more", left > 0 ? fill(words.report.more, { count: left }) : "");

  const point = manifest.operating_points[0];
  const chance = prediction.malignant_probability;
  const line = exactPercent(point?.threshold ?? 0);
  const malignant = { chance: finePercent(chance ?? 0), line };
  put(
    element,
    "malignant",
    chance === null || !point ? "" : fill(words.report.malignant, malignant),
  );
  const others = prediction.prediction_set
    .filter((id) => id !== stated(prediction, manifest).id)
    .map((id) => classOf(manifest, id).name);
  put(element, "set", others.length > 0 ? fill(words.report.set, { list: others.join(", ") }) : "");
}
