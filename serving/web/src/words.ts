import english from "../../words/en.json";

/** Every word that the scripts put on the page. The templates read the same file. */
export const words = english;

/** Puts `values` into the `{places}` of `text`. */
export function fill(text: string, values: Record<string, string | number>): string {
  return text.replace(/\{(\w+)\}/g, (place, name: string) => String(values[name] ?? place));
}

/** A probability in whole percent; never 0% or 100%, which no model can promise. */
export function percent(probability: number): string {
  if (probability < 0.005) return "<1%";
  if (probability > 0.995) return ">99%";
  return `${Math.round(probability * 100)}%`;
}

/** A threshold or a share, with as many digits as it needs below ten percent. */
export function exactPercent(share: number): string {
  return `${Number((share * 100).toFixed(share < 0.1 ? 1 : 0))}%`;
}

/** A diagnosis as it stands inside a sentence: "Melanoma" is "melanoma", "Bowen's disease" stays. */
export function phrase(name: string): string {
  const first = name.split(" ", 1)[0] ?? "";
  const isProper = /['’]/.test(first) || first.slice(1) !== first.slice(1).toLowerCase();
  return isProper ? name : name.charAt(0).toLowerCase() + name.slice(1);
}
