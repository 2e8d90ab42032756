import "./page.css";

import { type Answer, makeAnswer, prepareChart } from "./answer";
import { fetchManifest, type Manifest, predict, type Prediction, Problem } from "./api";
import { listen, open, type Picture } from "./picture";
import { readingNotes } from "./reading";
import { fill, words } from "./words";

const byId = <E extends HTMLElement>(id: string): E => {
  const element = document.getElementById(id);
  if (!element) throw new Error(`The page has no #${id}`);
  return element as E;
};

const desk = byId("desk");
const form = byId<HTMLFormElement>("form");
const fileInput = byId<HTMLInputElement>("file");
const cameraInput = byId<HTMLInputElement>("camera");
const dropzone = byId("dropzone");
const stage = byId("stage");
const preview = byId<HTMLImageElement>("preview");
const analyseButton = byId<HTMLButtonElement>("analyse");
const anotherButton = byId<HTMLButtonElement>("another");
const progressBar = byId<HTMLProgressElement>("progress-bar");
const answers = byId("answers");

let picture: Picture | null = null;
let answer: Answer | null = null;
let running: AbortController | null = null;
/** Settles when the file chosen last is open: a large photo takes a moment to decode. */
let opening: Promise<void> = Promise.resolve();
let latest: File | null = null;

listen({ inputs: [fileInput, cameraInput], dropzones: [dropzone, byId("over")] }, (files) => {
  opening = choose(files);
});
// The form's own check would speak of a missing file although a dropped one is there.
form.noValidate = true;
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!running) void analyse();
});
anotherButton.addEventListener("click", () => fileInput.click());
for (const radio of form.querySelectorAll<HTMLInputElement>("input[type=radio][name=model]")) {
  radio.addEventListener("change", () => {
    fetchManifest(radio.value).then(showNotes, () => {});
  });
}

async function choose(files: File[]): Promise<void> {
  const [file] = files;
  if (!file) return;
  running?.abort();
  showProblem(null);
  if (file.size === 0) return showProblem(fill(words.problem.empty, { name: file.name }));
  if (file.type !== "" && !file.type.startsWith("image/")) {
    return showProblem(fill(words.problem.not_a_picture, { name: file.name }));
  }
  latest = file;
  const opened = await open(file);
  if (latest !== file) return URL.revokeObjectURL(opened.url);
  if (picture) URL.revokeObjectURL(picture.url);
  picture = opened;
  clearAnswer();
  showPicture(opened);
  prepareChart();
  const note = files.length > 1 ? fill(words.picture.several, { count: files.length }) : "";
  byId("note").textContent = note;
  byId("note").hidden = note === "";
  say(`${fill(words.picture.chosen, { name: file.name })} ${note}`.trim());
}

async function analyse(): Promise<void> {
  await opening;
  if (running) return;
  if (!picture) return showProblem(words.problem.missing);
  const model = new FormData(form).get("model");
  if (typeof model !== "string") return;
  const run = new AbortController();
  running = run;
  showProblem(null);
  clearAnswer();
  showBusy(true);
  try {
    const [prediction, manifest] = await Promise.all([
      predict(picture.file, model, showSent, run.signal),
      fetchManifest(model),
    ]);
    run.signal.throwIfAborted();
    showAnswer(prediction, manifest, picture);
  } catch (error) {
    if (run.signal.aborted) return;
    if (!(error instanceof Problem)) throw error;
    showProblem(error.message);
  } finally {
    if (running === run) {
      running = null;
      showBusy(false);
    }
  }
}

function showPicture({ file, url, size }: Picture): void {
  dropzone.hidden = true;
  stage.hidden = false;
  preview.hidden = size === null;
  byId("no-preview").hidden = size !== null;
  if (size) {
    preview.src = url;
    preview.alt = fill(words.picture.alt, { name: file.name });
  }
  byId("file-name").textContent = file.name;
  byId("file-size").textContent = size ? fill(words.details.pixels, size) : "";
  anotherButton.hidden = false;
}

function showAnswer(prediction: Prediction, manifest: Manifest, picture: Picture): void {
  answer = makeAnswer(prediction, manifest, picture);
  answers.replaceChildren(answer.element);
  desk.dataset["state"] = "answered";
  showNotes(manifest);
  say(fill(words.analyse.done, { headline: answer.reading.headline }));
  if (answers.getBoundingClientRect().top > innerHeight / 2) answers.scrollIntoView();
}

function clearAnswer(): void {
  answer?.remove();
  answer = null;
  answers.replaceChildren();
  desk.dataset["state"] = "idle";
}

function showBusy(busy: boolean): void {
  // Not `disabled`: that would take the focus away from whoever pressed it by keyboard.
  analyseButton.setAttribute("aria-disabled", String(busy));
  byId("analyse-words").textContent = busy ? words.analyse.busy : words.analyse.button;
  byId("progress").hidden = !busy;
  if (busy) {
    desk.dataset["state"] = "busy";
    showSent(0);
    say(words.analyse.busy);
  } else if (!answer) {
    desk.dataset["state"] = "idle";
  }
}

function showSent(share: number): void {
  const sent = share >= 1;
  if (sent) progressBar.removeAttribute("value");
  else progressBar.value = share;
  byId("progress-words").textContent = sent ? words.analyse.waiting : words.analyse.sending;
}

function showProblem(detail: string | null): void {
  byId("problem").hidden = detail === null;
  byId("problem-detail").textContent = detail;
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
