import "./page.css";

import { prepareChart } from "./answer";
import { fetchManifest, type Manifest } from "./api";
import { Card, type Desk, onAnswer } from "./card";
import { offerDevice } from "./device/switch";
import { offer } from "./keep";
import { listen } from "./picture";
import { readingNotes } from "./reading";
import { makeSummary } from "./summary";
import { byId } from "./template";
import { fill, words } from "./words";

/** Pictures that are on their way at once. */
const AT_A_TIME = 3;

const desk = byId("desk");
const form = byId<HTMLFormElement>("form");
const fileInput = byId<HTMLInputElement>("file");
const cameraInput = byId<HTMLInputElement>("camera");
const analyseButton = byId<HTMLButtonElement>("analyse");
const clearButton = byId<HTMLButtonElement>("clear");
const answers = byId("answers");

let cards: Card[] = [];
/** Those that wait until others were read. */
const line: { card: Card; model: string }[] = [];
let reading = 0;

const doings: Desk = {
  leastSide: Number(desk.dataset["leastSide"]),
  retry: (card) => enqueue([card]),
  changed: (card) => {
    if (card.state === "answered" && card.answered) showAnswer(card, card.answered.manifest);
    if (card.state === "failed") say(fill(words.card.failed, { name: card.file.name }));
    arrange();
  },
  removed: (card) => {
    const place = cards.indexOf(card);
    cards = cards.filter((other) => other !== card);
    const next = cards[Math.min(place, cards.length - 1)]?.element ?? fileInput;
    if (card.element.contains(document.activeElement)) next.focus();
    say(fill(words.card.removed, { name: card.file.name }));
    arrange();
  },
};

const summary = makeSummary(byId("summary"), (card) => {
  card.open(true);
  card.element.scrollIntoView();
  card.element.focus({ preventScroll: true });
});

onAnswer(offer);
listen({ inputs: [fileInput, cameraInput], dropzones: [byId("dropzone")] }, take);
// The form's own check would speak of a missing file although a dropped one is there.
form.noValidate = true;
form.addEventListener("submit", (event) => {
  event.preventDefault();
  analyse();
});
clearButton.addEventListener("click", () => {
  fileInput.focus();
  for (const card of [...cards]) card.remove();
});
// It says that this script has not come.
byId("late").remove();
offerDevice();
guardLeaving();
for (const radio of form.querySelectorAll<HTMLInputElement>("input[type=radio][name=model]")) {
  radio.addEventListener("change", () => {
    fetchManifest(radio.value).then(showNotes, () => {});
    arrange();
  });
}

function take(files: File[], folders: string[] = []): void {
  const problems = folders.map((name) => fill(words.problem.folder, { name }));
  const taken: Card[] = [];
  for (const file of files) {
    const { name, size, type } = file;
    if (size === 0) problems.push(fill(words.problem.empty, { name }));
    else if (!isPerhapsPicture(type)) problems.push(fill(words.problem.not_a_picture, { name }));
    else taken.push(new Card(file, doings));
  }
  showProblem(problems);
  if (taken.length === 0) return;
  // What a form without scripts was answered stands here, too.
  if (cards.length === 0) answers.replaceChildren();
  cards.push(...taken);
  answers.append(...taken.map((card) => card.element));
  arrange();
  prepareChart();
  // Where all stands in one column, the picture would be below what can be seen.
  if (answers.getBoundingClientRect().top >= form.getBoundingClientRect().bottom)
    form.scrollIntoView();
  const [first] = taken;
  const one = fill(words.picture.chosen, { name: first?.file.name ?? "" });
  say(taken.length === 1 ? one : fill(words.picture.chosen_several, { count: taken.length }));
}

/**
 * Keeps the pictures and their answers from going unasked: other pages open beside this one, and
 * before a link loads it anew, or while pictures are on their way, the browser asks.
 */
function guardLeaving(): void {
  let isLoadingAnew = false;
  document.addEventListener("click", ({ target }) => {
    const link = target instanceof Element ? target.closest<HTMLAnchorElement>("a[href]") : null;
    const isHere = link?.pathname === location.pathname;
    if (link && !isHere) link.target = cards.length > 0 ? "_blank" : "";
    isLoadingAnew = isHere && link.hash === "";
  });
  addEventListener("beforeunload", (event) => {
    if (cards.some(isBusy) || (isLoadingAnew && cards.length > 0)) event.preventDefault();
    isLoadingAnew = false;
  });
}

/** Whether a file of this type may be a picture; of some a system does not know the kind, as HEIC. */
function isPerhapsPicture(type: string): boolean {
  return type === "" || type === "application/octet-stream" || type.startsWith("image/");
}

function analyse(): void {
  if (cards.length === 0) return showProblem([words.problem.missing]);
  showProblem([]);
  const due = cardsDue();
  enqueue(due.length > 0 || cards.some(isBusy) ? due : cards);
}

/** The cards that the chosen model has not answered, nor is about to. */
function cardsDue(): Card[] {
  const model = chosenModel();
  return cards.filter((card) => !isBusy(card) && card.answered?.model !== model);
}

function enqueue(some: Card[]): void {
  const model = chosenModel();
  if (some.length > 0) say(words.analyse.busy);
  for (const card of some) {
    card.queue();
    line.push({ card, model });
  }
  advance();
}

function advance(): void {
  while (reading < AT_A_TIME) {
    const next = line.shift();
    if (!next) return;
    if (!cards.includes(next.card)) continue;
    reading++;
    void next.card.read(next.model).finally(() => {
      reading--;
      advance();
      arrange();
    });
  }
}

/** Brings what stands around the cards in line with them. */
function arrange(): void {
  const several = cards.length > 1;
  desk.dataset["state"] = cards.length > 0 ? "filled" : "idle";
  desk.toggleAttribute("data-several", several);
  summary.show(cards);
  const due = cardsDue().length;
  const busy = due === 0 && cards.some(isBusy);
  // Not `disabled`: that would take the focus away from whoever pressed it by keyboard.
  analyseButton.setAttribute("aria-disabled", String(busy));
  const button = due > 1 ? fill(words.analyse.several, { count: due }) : words.analyse.button;
  byId("analyse-words").textContent = busy ? words.analyse.busy : button;
}

function showAnswer(card: Card, manifest: Manifest): void {
  showNotes(manifest);
  const { headline, element } = card;
  if (cards.length > 1)
    return say(fill(words.analyse.done_one, { name: card.file.name, headline }));
  say(fill(words.analyse.done, { headline }));
  if (element.getBoundingClientRect().top > innerHeight / 2) element.scrollIntoView();
}

function isBusy(card: Card): boolean {
  return card.state === "sending" || card.state === "waiting";
}

function chosenModel(): string {
  return String(new FormData(form).get("model") ?? "");
}

function showProblem(details: string[]): void {
  byId("problem").hidden = details.length === 0;
  byId("problem-detail").textContent = details.join(" ");
}

function showNotes(manifest: Manifest): void {
  const notes = readingNotes(manifest);
  document.querySelectorAll("[data-note]").forEach((note, i) => {
    note.textContent = notes[i] ?? "";
  });
  const datasets = manifest.training.datasets.map((dataset) => dataset.name);
  for (const limit of document.querySelectorAll<HTMLElement>("[data-limit-of]")) {
    limit.hidden = !datasets.includes(limit.dataset["limitOf"] ?? "");
  }
}

function say(text: string): void {
  byId("status").textContent = text;
}
