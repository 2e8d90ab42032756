import "../page.css";

import { save } from "../save";
import { byId, clone, put, slot } from "../template";
import { fill, moment, translate, words } from "../words";
import { makeComparison } from "./comparison";
import { NotOursError, read, write } from "./file";
import type { Result } from "./result";
import * as store from "./store";
import { chanceOf, headlineOf } from "./telling";

const exportButton = byId("export");
const importInput = byId<HTMLInputElement>("import");
const deleteButton = byId("delete-all");
const spots = byId("spots");

/** Bytes: a longer text is more than browsers take. */
const LARGEST_FILE = Number(byId("tools").dataset["largestFile"]);

let results: Result[] = [];
/** The object URLs of what is shown, to be let go with it. */
let urls: string[] = [];

exportButton.addEventListener("click", () => void exportAll());
importInput.addEventListener("change", () => {
  const files = [...(importInput.files ?? [])];
  importInput.value = "";
  if (files.length > 0) void importAll(files);
});
deleteButton.addEventListener("click", () => void deleteAll());
store.onChange(() => void show());
// A page that the browser kept while another was looked at shows what was there then.
addEventListener("pageshow", (event) => {
  if (event.persisted) void show();
});
void show();

async function show(): Promise<void> {
  try {
    results = await store.all();
  } catch {
    return showProblem(words.history.failed);
  }
  for (const url of urls) URL.revokeObjectURL(url);
  urls = [];
  const bySpot = new Map<string, Result[]>();
  for (const result of results)
    bySpot.set(result.spot, [...(bySpot.get(result.spot) ?? []), result]);
  const names = [...bySpot.keys()].sort(
    (a, b) => Number(a === "") - Number(b === "") || compare(a, b),
  );
  spots.replaceChildren(...names.map((name) => makeSpot(name, bySpot.get(name) ?? [])));
  const none = results.length === 0;
  byId("empty").hidden = !none;
  exportButton.hidden = none;
  deleteButton.hidden = none;
  byId("count").textContent = none ? "" : countOf(results.length);
  byId("fleeting").hidden = none || (await store.isToStay());
}

function makeSpot(name: string, group: Result[]): HTMLElement {
  const element = clone(byId("spot-template"));
  put(element, "spot", name || words.keep.unnamed);
  // The latest first: it is what one comes for.
  slot(element, "results").append(...[...group].reverse().map(makeItem));
  const button = slot(element, "compare");
  const comparison = slot(element, "comparison");
  button.hidden = group.length < 2 || name === "";
  let made = false;
  button.addEventListener("click", () => {
    if (!made) makeComparison(comparison, name, group, urlOf);
    made = true;
    comparison.hidden = !comparison.hidden;
    button.setAttribute("aria-expanded", String(!comparison.hidden));
  });
  return element;
}

function makeItem(result: Result): HTMLElement {
  const element = clone(byId("result-template"));
  const date = moment(new Date(result.date));
  const thumbnail = slot<HTMLImageElement>(element, "thumbnail");
  thumbnail.src = urlOf(result.thumbnail);
  thumbnail.alt = fill(words.history.picture_alt, { date });
  put(element, "date", date);
  put(element, "headline", headlineOf(result));
  put(element, "malignant", chanceOf(result));
  const model = translate(result.manifest).title;
  put(element, "model", fill(words.history.read_by, { model }));
  const button = slot(element, "delete");
  button.setAttribute("aria-label", fill(words.history.delete_of, { date }));
  button.addEventListener("click", () => void deleteOne(result));
  return element;
}

async function deleteOne(result: Result): Promise<void> {
  if (!(await confirmed(words.history.confirm_one))) return;
  await attempt(() => store.remove(result.id));
  byId("main").focus();
}

async function deleteAll(): Promise<void> {
  const { length: count } = results;
  const question = count === 1 ? words.history.confirm_one : words.history.confirm_all;
  if (!(await confirmed(fill(question, { count })))) return;
  await attempt(store.removeAll);
  byId("main").focus();
}

async function attempt(remove: () => Promise<void>): Promise<void> {
  try {
    await remove();
  } catch {
    return showProblem(words.history.failed);
  }
  showProblem("");
  await show();
  say(words.history.deleted);
}

async function exportAll(): Promise<void> {
  const day = new Date().toISOString().slice(0, 10);
  const files = await write(results, LARGEST_FILE);
  for (const [i, file] of files.entries()) {
    const number = files.length > 1 ? `-${i + 1}` : "";
    save(file, `lesionlens-${day}${number}.json`);
  }
}

async function importAll(files: File[]): Promise<void> {
  if (files.some(({ size }) => size > LARGEST_FILE)) return showProblem(words.history.too_large);
  const ids = new Set(results.map(({ id }) => id));
  try {
    const found: Result[] = [];
    for (const file of files) found.push(...(await read(await file.text())));
    const added = found.filter(({ id }) => !ids.has(id) && ids.add(id));
    await store.put(...added);
    showProblem("");
    await show();
    const values = { added: added.length, known: found.length - added.length };
    say(fill(words.history.imported, values));
  } catch (error) {
    showProblem(error instanceof NotOursError ? words.history.not_ours : words.history.failed);
  }
}

/** Resolves to whether the person says yes. */
function confirmed(question: string): Promise<boolean> {
  const dialog = byId<HTMLDialogElement>("confirm");
  byId("confirm-question").textContent = question;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

function urlOf(blob: Blob): string {
  const url = URL.createObjectURL(blob);
  urls.push(url);
  return url;
}

function countOf(count: number): string {
  return count === 1 ? words.history.count_one : fill(words.history.count, { count });
}

function compare(a: string, b: string): number {
  return a.localeCompare(b, document.documentElement.lang);
}

function showProblem(detail: string): void {
  byId("problem").hidden = detail === "";
  byId("problem-detail").textContent = detail;
}

function say(text: string): void {
  byId("status").textContent = text;
}
