import type { Card } from "./card";
import { toCsv } from "./csv";
import { stated, type Tone } from "./reading";
import { save } from "./save";
import { clone, slot } from "./template";
import { percent, words } from "./words";

type Column = "picture" | "reading" | "likeliest" | "confidence" | "malignant";

/** What a row shows and is sorted by; a card without an answer stands last either way. */
interface Entry {
  card: Card;
  text: Record<Column, string>;
  key: Record<Column, string | number | null>;
}

/** From what wants to be seen first to what says nothing. */
const TONES: Tone[] = ["suspicious", "uncertain", "plain", "not_suspicious", "refused"];

/** The table of all pictures: sorted by its heads, and saved as CSV. */
export interface Summary {
  show: (cards: Card[]) => void;
}

/** Makes the table of `section` work; `goTo` is called with the card whose name was pressed. */
export function makeSummary(section: HTMLElement, goTo: (card: Card) => void): Summary {
  const body = section.querySelector("tbody");
  const saver = slot(section, "save", "summary");
  const template = section.querySelector<HTMLTemplateElement>("template");
  if (!body || !template) throw new Error("The page has no summary");
  const heads = [...section.querySelectorAll<HTMLElement>("th[data-column]")];
  let shown: Card[] = [];
  let sorted: { column: Column; down: boolean } | null = null;

  const show = (cards: Card[]): void => {
    shown = cards;
    section.hidden = cards.length < 2;
    saver.hidden = !cards.some((card) => card.answered);
    for (const head of heads) {
      const order = head.dataset["column"] === sorted?.column ? sorted : null;
      if (order) head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    // The row that has the focus is written anew, too.
    const focused = document.activeElement?.closest("tr")?.dataset["card"];
    const rows = inOrder(cards).map((entry) => makeRow(template, entry, goTo));
    body.replaceChildren(...rows);
    rows
      .find((row) => row.dataset["card"] === focused)
      ?.querySelector("button")
      ?.focus();
  };

  const inOrder = (cards: Card[]): Entry[] => {
    const entries = cards.map(entryOf);
    if (!sorted) return entries;
    const { column, down } = sorted;
    return entries.sort((one, other) => compare(one.key[column], other.key[column], down));
  };

  for (const head of heads) {
    head.querySelector("button")?.addEventListener("click", () => {
      const column = head.dataset["column"] as Column;
      // What is worth a look first comes first: the highest figures, the names from A.
      const down = column === "confidence" || column === "malignant";
      sorted = { column, down: sorted?.column === column ? !sorted.down : down };
      show(shown);
    });
  }
  saver.addEventListener("click", () => {
    const answers = inOrder(shown).flatMap(({ card }) => card.answered ?? []);
    save(toCsv(answers), words.summary.file);
  });
  return { show };
}

function entryOf(card: Card): Entry {
  const { name } = card.file;
  const { answered, tone } = card;
  if (!answered || !tone) {
    const reading = words.card.states[card.state];
    return {
      card,
      text: { picture: name, reading, likeliest: "", confidence: "", malignant: "" },
      key: { picture: name, reading: null, likeliest: null, confidence: null, malignant: null },
    };
  }
  const { prediction, manifest } = answered;
  const reading = words.verdict[tone];
  const rank = TONES.indexOf(tone);
  if (prediction.refused) {
    return {
      card,
      text: { picture: name, reading, likeliest: "–", confidence: "–", malignant: "–" },
      key: { picture: name, reading: rank, likeliest: null, confidence: null, malignant: null },
    };
  }
  const { id, name: likeliest } = stated(prediction, manifest);
  const confidence = prediction.probabilities[id] ?? 0;
  const malignant = prediction.malignant_probability;
  return {
    card,
    text: {
      picture: name,
      reading,
      likeliest,
      confidence: percent(confidence),
      malignant: malignant === null ? "–" : percent(malignant),
    },
    key: { picture: name, reading: rank, likeliest, confidence, malignant },
  };
}

function makeRow(
  template: HTMLTemplateElement,
  { card, text }: Entry,
  goTo: (card: Card) => void,
): HTMLElement {
  const row = clone(template);
  row.dataset["card"] = card.id;
  row.dataset["tone"] = card.tone ?? "";
  for (const cell of row.querySelectorAll<HTMLElement>("[data-column]")) {
    cell.textContent = text[cell.dataset["column"] as Column];
  }
  row.querySelector("button")?.addEventListener("click", () => goTo(card));
  return row;
}

function compare(
  one: string | number | null,
  other: string | number | null,
  down: boolean,
): number {
  if (one === null || other === null) return Number(one === null) - Number(other === null);
  const order =
    typeof one === "number" && typeof other === "number"
      ? one - other
      : String(one).localeCompare(String(other), undefined, { numeric: true });
  return down ? -order : order;
}
