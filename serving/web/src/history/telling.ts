import { classOf } from "../reading";
import { fill, percent, translate, words } from "../words";
import type { Result } from "./result";

/** What was likeliest, with its probability; that there was no answer, where it was refused. */
export function headlineOf({ prediction, manifest }: Result): string {
  if (prediction.refused) return words.history.refused;
  const { id, name } = classOf(translate(manifest), prediction.prediction);
  const chance = percent(prediction.probabilities[id] ?? 0);
  return fill(words.history.probability, { name, percent: chance });
}

/** The chance of something malignant; empty where there is none to tell. */
export function chanceOf({ prediction }: Result): string {
  const chance = prediction.malignant_probability;
  if (prediction.refused || chance === null) return "";
  return fill(words.history.malignant, { chance: percent(chance) });
}
