import type { Prediction, Verdict } from "../api";
import type { WholeManifest } from "./manifest";

/** What a model's graph answers for one picture of C classes. */
export interface Outputs {
  /** `[C]`, calibrated; they sum to 1. */
  probability: Float32Array;
  /** `[C, rows, columns]` in [0, 1]. */
  heatmap: Float32Array;
  rows: number;
  columns: number;
  /** Larger is less like the training pictures. */
  novelty: number;
}

/** The part of a prediction that the graph's outputs decide. */
export type Decided = Pick<
  Prediction,
  | "prediction"
  | "probabilities"
  | "malignant_probability"
  | "verdict"
  | "prediction_set"
  | "novelty"
  | "refused"
>;

/** What `outputs` say by the thresholds of `manifest`; the same as in serving/prediction.py. */
export function decide(manifest: WholeManifest, { probability, novelty }: Outputs): Decided {
  const found = manifest.classes.map((c, i) => ({ ...c, probability: probability[i] ?? 0 }));
  const malignant = malignantProbability(found);
  return {
    prediction: largest(found, (c) => c.probability * (manifest.decision_offsets[c.id] ?? 1)).id,
    probabilities: Object.fromEntries(found.map((c) => [c.id, c.probability])),
    malignant_probability: malignant,
    verdict: malignant === null ? null : verdictOf(malignant, manifest),
    prediction_set: predictionSet(found, manifest),
    novelty,
    // Written so that a score that is not a number refuses.
    refused: !(novelty <= manifest.novelty_threshold),
  };
}

interface Found {
  id: string;
  malignant: boolean;
  probability: number;
}

function malignantProbability(found: Found[]): number | null {
  const malignant = found.filter((c) => c.malignant);
  if (malignant.length === 0) return null;
  const sum = malignant.reduce((total, c) => total + c.probability, 0);
  return Math.min(Math.max(sum, 0), 1);
}

function verdictOf(malignant: number, manifest: WholeManifest): Verdict {
  const [point] = manifest.operating_points;
  return point && malignant >= point.threshold ? "suspicious" : "not_suspicious";
}

/** The conformal set by falling probability; the likeliest class is always in it. */
function predictionSet(found: Found[], { conformal }: WholeManifest): string[] {
  const likeliest = largest(found, (c) => c.probability);
  return found
    .filter(
      (c) => c === likeliest || Math.fround(1 - c.probability) <= (conformal.quantiles[c.id] ?? -1),
    )
    .toSorted((a, b) => b.probability - a.probability)
    .map((c) => c.id);
}

function largest(found: Found[], score: (c: Found) => number): Found {
  return found.reduce((best, c) => (score(c) > score(best) ? c : best));
}
