import { read, stated } from "../reading";
import { fill, percent, translate, words } from "../words";
import type { Result } from "./result";

/** The verdict and the diagnosis with its probability; that there was no answer, where refused. */
export function headlineOf({ prediction, manifest }: Result): string {
  if (prediction.refused) return words.history.refused;
  const shown = translate(manifest);
  const { id, name } = stated(prediction, shown);
  const chance = percent(prediction.probabilities[id] ?? 0);
  const told = fill(words.history.probability, { name, percent: chance });
  const { tone } = read(prediction, shown);
  return tone === "plain" ? told : `${words.verdict[tone]} · ${told}`;
}

/** The chance of something malignant; empty where there is none to tell. */
export function chanceOf({ prediction }: Result): string {
  const chance = prediction.malignant_probability;
  if (prediction.refused || chance === null) return "";
  return fill(words.history.malignant, { chance: percent(chance) });
}
