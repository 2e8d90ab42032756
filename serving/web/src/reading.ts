import type { ClassInfo, Manifest, Metric, Prediction } from "./api";
import { exactPercent, fill, finePercent, percent, phrase, words } from "./words";

export type Tone = "suspicious" | "uncertain" | "not_suspicious" | "plain" | "refused";

/** The metric that says how heatmaps point beside a guess; it is kept with a result. */
export const HEATMAP_GAIN = "heatmap_inside_over_centre";

/** What a prediction says, in words: the first thing that a person reads. */
export interface Reading {
  tone: Tone;
  headline: string;
  text: string;
}

/**
 * Puts a prediction into words. `templates/answer.html.jinja` makes the same choices for a browser
 * without scripts.
 */
export function read(prediction: Prediction, manifest: Manifest): Reading {
  if (prediction.refused) return { tone: "refused", ...words.verdict.refusal };
  const predicted = stated(prediction, manifest);
  const name = phrase(predicted.name);
  const point = manifest.operating_points[0];
  if (prediction.verdict === null || prediction.malignant_probability === null || !point) {
    const { headline, text } = words.verdict.none;
    return { tone: "plain", headline: fill(headline, { name }), text };
  }
  const kind = predicted.malignant
    ? (`${prediction.verdict}_malignant` as const)
    : (`${prediction.verdict}_benign` as const);
  const values = {
    name,
    malignant: phrase(likeliestMalignant(prediction, manifest)?.name ?? ""),
    chance: finePercent(prediction.malignant_probability),
    line: exactPercent(point.threshold),
    missed: Math.round((1 - (ofVerdict("sensitivity", manifest) ?? point.sensitivity)) * 100),
  };
  const { headline, text } = words.verdict[kind];
  return {
    tone: kind === "not_suspicious_malignant" ? "uncertain" : prediction.verdict,
    headline: isBinary(manifest) ? words.verdict[`${kind}_binary`] : fill(headline, values),
    text: fill(text, values),
  };
}

/**
 * The class that an answer is about, in its words, map and list: the predicted one, but where that is
 * benign only by its offset, the malignant one that is likelier.
 */
export function stated(prediction: Prediction, manifest: Manifest): ClassInfo {
  const predicted = classOf(manifest, prediction.prediction);
  const likeliest = ranked(prediction, manifest)[0]?.[0];
  const isSuspicious = prediction.verdict === "suspicious";
  return isSuspicious && likeliest?.malignant && !predicted.malignant ? likeliest : predicted;
}

/** The class of `manifest` with this id. */
export function classOf(manifest: Manifest, id: string): ClassInfo {
  const found = manifest.classes.find((c) => c.id === id);
  if (!found) throw new Error(`${manifest.name} has no class ${id}`);
  return found;
}

/** The classes by falling probability. */
export function ranked(prediction: Prediction, manifest: Manifest): [ClassInfo, number][] {
  return manifest.classes
    .map((c): [ClassInfo, number] => [c, prediction.probabilities[c.id] ?? 0])
    .sort((a, b) => b[1] - a[1]);
}

/** Whether the model tells benign from malignant only: it has no diagnosis to name. */
export function isBinary(manifest: Manifest): boolean {
  return manifest.classes.length === 2 && manifest.classes.filter((c) => c.malignant).length === 1;
}

/** Whether "malignant" and "benign" say more of the classes than their own names do. */
export function hasKinds(manifest: Manifest): boolean {
  return manifest.classes.some((c) => c.malignant) && !isBinary(manifest);
}

/**
 * How the heatmaps pointed at the lesion beside a guess at the picture's middle; null where they did
 * better, or where that was not measured. `serving/manifest.py` says the same.
 */
export function heatmapDoubt(manifest: Manifest): "no_better" | "worse" | null {
  const gain = metricOf(manifest, HEATMAP_GAIN);
  if (!gain || gain.low > 0) return null;
  return gain.high < 0 ? "worse" : "no_better";
}

/** What must stand beside a heatmap of the class `name`: that it is blank, and how well such maps point. */
export function heatmapNotes(manifest: Manifest, name: string, hasEvidence: boolean): string {
  const doubt = heatmapDoubt(manifest);
  const none = hasEvidence ? "" : fill(words.heatmap.none, { name: phrase(name) });
  return [none, doubt ? words.heatmap[doubt] : ""].filter(Boolean).join(" ");
}

/** The words of "How to read the numbers", with the figures of one model. */
export function readingNotes(manifest: Manifest): string[] {
  const sensitivity = ofVerdict("sensitivity", manifest);
  const specificity = ofVerdict("specificity", manifest);
  const values = {
    sensitivity: sensitivity === undefined ? "–" : Math.round(sensitivity * 100),
    alarms: specificity === undefined ? "–" : Math.round((1 - specificity) * 100),
    coverage: percent(1 - manifest.conformal.alpha),
  };
  return words.reading.items.map((item) => fill(item.text, values));
}

/**
 * The verdict's sensitivity or specificity on the test pictures; where that was not measured, on the
 * calibration split, which set the threshold. `serving/manifest.py` chooses the same.
 */
function ofVerdict(share: "sensitivity" | "specificity", manifest: Manifest): number | undefined {
  const measured = metricOf(manifest, `malignant_${share}`);
  return measured?.value ?? manifest.operating_points[0]?.[share];
}

function metricOf(manifest: Manifest, name: string): Metric | undefined {
  return manifest.metrics?.find((metric) => metric.name === name);
}

function likeliestMalignant(prediction: Prediction, manifest: Manifest): ClassInfo | undefined {
  return ranked(prediction, manifest).find(([c]) => c.malignant)?.[0];
}
