import type { Answered } from "./card";

/**
 * The answers as a file of comma-separated values (RFC 4180): a line a picture, figures in full,
 * lists joined by semicolons.
 */
export function toCsv(answers: Answered[]): Blob {
  const ids = [
    ...new Set(answers.flatMap(({ prediction }) => Object.keys(prediction.probabilities))),
  ];
  const head = [
    "picture",
    "model",
    "verdict",
    "prediction",
    "malignant_probability",
    "prediction_set",
    "refused",
    "novelty",
    "warnings",
    "width",
    "height",
    ...ids.map((id) => `probability_${id}`),
  ];
  const lines = answers.map(({ prediction: p }) => [
    harmless(p.image),
    p.model,
    p.verdict ?? "",
    p.prediction,
    p.malignant_probability ?? "",
    p.prediction_set.join(";"),
    p.refused,
    p.novelty,
    p.warnings.join(";"),
    p.width,
    p.height,
    ...ids.map((id) => p.probabilities[id] ?? ""),
  ]);
  const text = [head, ...lines].map((line) => `${line.map(quoted).join(",")}\r\n`).join("");
  // Without the mark, Excel takes UTF-8 for the letters of its own country.
  return new Blob(["\ufeff", text], { type: "text/csv;charset=utf-8" });
}

/** A spreadsheet would run a name that begins like a formula. */
function harmless(name: string): string {
  return /^[=+\-@\t\r]/.test(name) ? `'${name}` : name;
}

function quoted(value: string | number | boolean): string {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
