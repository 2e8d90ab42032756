import type { Manifest, Prediction } from "./api";
import type { Row } from "./chart";
import { layOver } from "./overlay";
import type { Picture } from "./picture";
import { classOf, hasKinds, ranked, read, stated, type Reading } from "./reading";
import { byId, clone, put, slot } from "./template";
import { decimal, exactPercent, fill, finePercent, knows, percent, phrase, words } from "./words";

/** An answer as it stands in its card. */
export interface DrawnAnswer {
  element: HTMLElement;
  reading: Reading;
  /** Shows where the model looked, once there is a picture to show it on. */
  show: (picture: Picture) => void;
  /** Takes it off the page. */
  remove: () => void;
}

let count = 0;

/**
 * Fills a copy of the page's answer template with what `prediction` says of `picture`. `crop` is
 * called where the lesion is too small in the picture and shall be cut out; null where it cannot.
 */
export function makeAnswer(
  prediction: Prediction,
  manifest: Manifest,
  picture: Picture,
  crop: (() => void) | null,
): DrawnAnswer {
  const element = clone(byId("answer-template"));
  const reading = read(prediction, manifest);
  const headline = slot(element, "headline");
  headline.id = `answer-headline-${++count}`;
  element.setAttribute("aria-labelledby", headline.id);
  element.dataset["tone"] = reading.tone;
  element.toggleAttribute("data-plain", !hasKinds(manifest));
  headline.textContent = reading.headline;
  put(element, "text", reading.text);
  put(element, "tone", words.verdict[reading.tone]);
  put(element, "model", fill(words.verdict.model, { model: manifest.title }));
  fillWarnings(element, prediction, crop);
  fillDetails(element, prediction, manifest);
  let stopChart = (): void => {};
  let show = (_: Picture): void => {};
  if (prediction.refused) {
    for (const part of ["confidence", "map", "set", "chart", "about"])
      slot(element, part, "part").remove();
  } else {
    slot(element, "refusal", "part").remove();
    fillConfidence(element, prediction, manifest);
    const map = slot(element, "map", "part");
    show = (shown) => layOver(map, prediction, manifest, shown);
    show(picture);
    fillSet(element, prediction, manifest);
    fillAbout(element, prediction, manifest);
    stopChart = fillChart(element, prediction, manifest);
  }
  return {
    element,
    reading,
    show,
    remove: () => {
      stopChart();
      element.remove();
    },
  };
}

/** Fetches the chart's code ahead of the answer that needs it. */
export function prepareChart(): void {
  import("./chart").catch(() => {});
}

function fillWarnings(
  element: HTMLElement,
  prediction: Prediction,
  crop: (() => void) | null,
): void {
  const part = slot(element, "warnings", "part");
  part.hidden = prediction.warnings.length === 0;
  if (prediction.refused) put(part, "warnings-title", words.warnings.title_refused);
  const list = slot(part, "warning-list");
  for (const warning of prediction.warnings) {
    const item = document.createElement("li");
    item.textContent = words.warnings[warning] ?? warning;
    list.append(item);
  }
  const cropper = slot(part, "warnings-crop");
  cropper.hidden = !prediction.warnings.includes("small_lesion") || !crop;
  if (crop) cropper.addEventListener("click", crop);
}

function fillConfidence(element: HTMLElement, prediction: Prediction, manifest: Manifest): void {
  const about = stated(prediction, manifest);
  const predicted = classOf(manifest, prediction.prediction);
  const confidence = prediction.probabilities[about.id] ?? 0;
  const title = fill(words.confidence.predicted, { name: phrase(about.name) });
  put(element, "confidence-name", title);
  put(element, "confidence", percent(confidence));
  fillMeter(slot(element, "confidence-meter"), title, confidence, about.malignant);

  const [likeliest] = ranked(prediction, manifest)[0] ?? [predicted];
  const note = slot(element, "offset");
  note.hidden = likeliest.id === predicted.id;
  const { offset, graver } = words.confidence;
  note.textContent = fill(about.id === predicted.id ? offset : graver, {
    name: phrase(predicted.name),
    likeliest: phrase(likeliest.name),
  });

  const point = manifest.operating_points[0];
  const malignant = prediction.malignant_probability;
  if (malignant === null || !point) {
    slot(element, "malignant", "part").remove();
    return;
  }
  put(element, "malignant", finePercent(malignant));
  put(element, "line", fill(words.confidence.line, { line: exactPercent(point.threshold) }));
  const meter = slot(element, "malignant-meter");
  fillMeter(meter, words.confidence.malignant, malignant, true);
  for (const mark of meter.querySelectorAll("line")) {
    mark.setAttribute("x1", asPercentage(point.threshold));
    mark.setAttribute("x2", asPercentage(point.threshold));
  }
}

function fillMeter(meter: HTMLElement, label: string, value: number, malignant: boolean): void {
  meter.setAttribute("aria-label", label);
  meter.setAttribute("aria-valuenow", String(Math.round(value * 100)));
  meter.setAttribute("aria-valuetext", percent(value));
  meter.toggleAttribute("data-malignant", malignant);
  meter.querySelector("[data-bar]")?.setAttribute("width", asPercentage(value));
}

function fillSet(element: HTMLElement, prediction: Prediction, manifest: Manifest): void {
  const about = stated(prediction, manifest);
  const others = prediction.prediction_set.filter((id) => id !== about.id);
  const list = slot(element, "set-list");
  for (const id of others) {
    const { name, malignant } = classOf(manifest, id);
    const item = clone(slot(element, "set-row", "row"));
    item.toggleAttribute("data-malignant", malignant);
    put(item, "name", name);
    put(item, "kind", kind(malignant));
    list.append(item);
  }
  list.hidden = others.length === 0;
  slot(element, "set-alone").hidden = others.length > 0;
  const isListed = prediction.prediction_set.includes(about.id);
  const listed = others.length > 0 ? words.set.why : words.set.why_alone;
  const why = isListed ? listed : words.set.why_without;
  const coverage = percent(1 - manifest.conformal.alpha);
  put(element, "set-why", fill(why, { name: phrase(about.name), coverage }));
}

function fillAbout(element: HTMLElement, prediction: Prediction, manifest: Manifest): void {
  const about = stated(prediction, manifest);
  put(element, "about-name", about.name);
  put(element, "about-kind", kind(about.malignant));
  slot(element, "about-kind").toggleAttribute("data-malignant", about.malignant);
  put(element, "about-text", about.description);
  const { counts } = manifest.conformal;
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  put(element, "about-common", fill(words.about.common, { count: counts[about.id] ?? 0, total }));
  put(element, "about-source", fill(words.about.source, { source: about.source }));
  const more = slot(element, "about-more");
  const pages = more.dataset["pages"]?.split(" ") ?? [];
  more.hidden = !knows(manifest) || !pages.includes(about.id);
  more.querySelector("a")?.setAttribute("href", `/diagnoses/${about.id}`);
  const list = slot(element, "others");
  for (const other of manifest.classes.filter((c) => c.id !== about.id)) {
    const item = clone(slot(element, "other-row", "row"));
    put(item, "name", other.name);
    put(item, "kind", kind(other.malignant));
    slot(item, "kind").toggleAttribute("data-malignant", other.malignant);
    put(item, "text", other.description);
    list.append(item);
  }
}

/** Draws the chart as soon as its code has come; returns what ends it. */
function fillChart(element: HTMLElement, prediction: Prediction, manifest: Manifest): () => void {
  const rows = ranked(prediction, manifest).map(([c, probability]): Row => ({
    name: c.name,
    note: hasKinds(manifest) ? kind(c.malignant) : "",
    value: percent(probability),
    probability,
    malignant: c.malignant,
  }));
  const list = slot(element, "rows");
  for (const row of rows) {
    const item = clone(slot(element, "row", "row"));
    put(item, "name", row.name);
    put(item, "kind", row.note);
    put(item, "value", row.value);
    fillMeter(slot(item, "meter"), row.name, row.probability, row.malignant);
    list.append(item);
  }

  const box = slot(element, "chart");
  const canvas = box.querySelector("canvas");
  if (!canvas) return () => {};
  box.hidden = false;
  list.hidden = true;
  box.style.height = `${rows.length * 48 + 8}px`;
  const spoken = rows.map((row) =>
    fill(row.note ? words.chart.item : words.chart.plain_item, {
      name: row.name,
      kind: row.note,
      percent: row.value,
    }),
  );
  canvas.setAttribute("aria-label", fill(words.chart.label, { list: spoken.join(", ") }));

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let end = (): void => {};
  let ended = false;
  import("./chart").then(
    ({ drawChart }) => {
      if (ended) return;
      let chart = drawChart(canvas, rows, !still);
      const redraw = (): void => {
        chart.destroy();
        chart = drawChart(canvas, rows, false);
      };
      dark.addEventListener("change", redraw);
      end = () => {
        dark.removeEventListener("change", redraw);
        chart.destroy();
      };
    },
    () => {
      box.hidden = true;
      list.hidden = false;
      slot(element, "chart-failed").hidden = false;
    },
  );
  return () => {
    ended = true;
    end();
  };
}

function fillDetails(element: HTMLElement, prediction: Prediction, manifest: Manifest): void {
  const { width, height } = prediction;
  put(element, "detail-model", manifest.title);
  put(element, "detail-network", manifest.architecture);
  put(element, "detail-digest", manifest.files["model.onnx"] ?? "–");
  put(element, "detail-pixels", fill(words.details.pixels, { width, height }));
  put(
    element,
    "detail-novelty",
    fill(words.details.novelty_of, {
      value: decimal(prediction.novelty.toPrecision(3)),
      threshold: decimal(manifest.novelty_threshold.toPrecision(3)),
    }),
  );
}

function kind(malignant: boolean): string {
  return malignant ? words.chart.malignant : words.chart.benign;
}

function asPercentage(share: number): string {
  return `${(Math.min(Math.max(share, 0), 1) * 100).toFixed(2)}%`;
}
