import type { Manifest } from "./api";

type Words = typeof import("../../words/en.json");

const files = import.meta.glob<Words>("../../words/*.json", { import: "default" });
const originals = new WeakMap<Manifest, Manifest>();
const language = document.documentElement.lang;
// Vite puts the value in the place of its name, here only.
const ours = CLASSES;

/** Every word that the scripts put on the page, in the page's language. Templates read the same. */
export const words: Words = await load();

async function load(): Promise<Words> {
  const file = files[`../../words/${language}.json`];
  if (!file) throw new Error(`There are no words in ${language}`);
  try {
    return await file();
  } catch (error) {
    // No script element asked for it, so src/early.ts hears nothing: the page is one without scripts.
    delete document.documentElement.dataset["scripted"];
    throw error;
  }
}

/**
 * `manifest` with its names in the page's language. A model with any class beside ours keeps its
 * own words. `serving/languages.py` makes the same choice.
 */
export function translate(manifest: Manifest): Manifest {
  const known: Record<string, { name: string; description: string }> = words.diagnoses;
  const models: Record<string, { title: string }> = words.models;
  if (isEnglish() || !knows(manifest)) return manifest;
  const classes = manifest.classes.map((c) => ({ ...c, ...known[c.id] }));
  // No script shows the summary.
  const { title } = models[manifest.title] ?? manifest;
  const translated = { ...manifest, classes, title };
  originals.set(translated, manifest);
  return translated;
}

/**
 * Whether the model's classes are ours, in the words that are translated here; of any others an id
 * may mean something else.
 */
export function knows(manifest: Manifest): boolean {
  return original(manifest).classes.every((c) => {
    const known = ours[c.id];
    return known?.name === c.name && known.description === c.description;
  });
}

/** `manifest` in the words of the model itself. */
export function original(manifest: Manifest): Manifest {
  return originals.get(manifest) ?? manifest;
}

/** Whether the page is in the language that the server's own sentences are in. */
export function isEnglish(): boolean {
  return language === "en";
}

/** A moment as a date with its time, in the page's language. */
export function moment(date: Date): string {
  return date.toLocaleString(language, { dateStyle: "medium", timeStyle: "short" });
}

/** Puts `values` into the `{places}` of `text`. */
export function fill(text: string, values: Record<string, string | number>): string {
  return text.replace(/\{(\w+)\}/g, (place, name: string) => String(values[name] ?? place));
}

/** A probability in whole percent; never 0% or 100%, which no model can promise. */
export function percent(probability: number): string {
  if (probability < 0.005) return inPercent("<1");
  if (probability > 0.995) return inPercent(">99");
  return inPercent(Math.round(probability * 100));
}

/** A threshold or a share, with as many digits as it needs below ten percent. */
export function exactPercent(share: number): string {
  const digits = share < 0.1 ? 10 : 1;
  return inPercent(decimal(String(Math.round(share * digits * 100) / digits)));
}

/** A probability as it stands beside a threshold, which may be near. */
export function finePercent(probability: number): string {
  const isPromise = probability < 0.005 || probability > 0.995;
  return isPromise ? percent(probability) : exactPercent(probability);
}

/** `number`, as JavaScript writes it, with the decimal sign of the page's language. */
export function decimal(number: string): string {
  return number.replace(".", words.number.decimal);
}

/** A number of hundredths with its sign. */
export function inPercent(value: string | number): string {
  return fill(words.number.percent, { value });
}

/** A diagnosis as it stands inside a sentence: "Melanoma" is "melanoma", "Bowen's disease" stays. */
export function phrase(name: string): string {
  const first = name.split(" ", 1)[0] ?? "";
  // German nouns keep their capital; an adjective before one does not.
  const isNoun = language === "de" && (first === name || !/e[rs]?$/.test(first));
  const isProper = /['’]/.test(first) || first.slice(1) !== first.slice(1).toLowerCase();
  return isNoun || isProper ? name : name.charAt(0).toLowerCase() + name.slice(1);
}
