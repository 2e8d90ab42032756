import { type DrawnAnswer, makeAnswer } from "./answer";
import {
  fetchManifest,
  fetchPreview,
  type Manifest,
  predict,
  type Prediction,
  Problem,
} from "./api";
import { givesPixels } from "./canvas";
import { chooseCut } from "./crop";
import type { Cut } from "./picture";
import type { Tone } from "./reading";
import { prepare, type Prepared } from "./shrink";
import { byId, clone, slot } from "./template";
import { fill, words } from "./words";

/** Where a card is on its way. `cropped` is `chosen` with a part of the picture cut out. */
export type State = "chosen" | "cropped" | "sending" | "waiting" | "answered" | "failed";

/** What a reader is busy with: fetching what it needs, sending the picture, or reading it. */
export type Stage = "loading" | "sending" | "waiting";

/** Is told how far a stage is, from 0 to 1; null where nobody can say. */
export type Progress = (stage: Stage, share: number | null) => void;

/**
 * Reads one picture, which is sent or taken byte for byte, with the model of this name; heatmaps
 * included. Rejects with a `Problem` in words for a person, or as `signal` is aborted.
 */
export type Reader = (
  picture: File,
  model: string,
  progress: Progress,
  signal: AbortSignal,
) => Promise<Prediction>;

/** An answer that has come to stand in a card. */
export interface Answered {
  card: Card;
  /** The picture as it was read: cut out and shrunk, where it was. Its name is the file's. */
  picture: File;
  prediction: Prediction;
  /** The model's name; its manifest is beside it. */
  model: string;
  manifest: Manifest;
  /** Milliseconds since 1970. */
  date: number;
}

/** Where others may put what they add to a card that was answered. */
export interface Places {
  /** A row of buttons below the answer's verdict: keep, print. Empty with each answer. */
  actions: HTMLElement;
}

/** What the page does about a card. */
export interface Desk {
  /** Pixels: no picture is shrunk to a shorter side below this. */
  leastSide: number;
  /** Reads the card again, with the model that is chosen. */
  retry: (card: Card) => void;
  /** The card's state, answer or picture is another. */
  changed: (card: Card) => void;
  /** The card has left the page. */
  removed: (card: Card) => void;
}

/** Seconds: a server that is busy for longer is left to the person. */
const LONGEST_WAIT = 120;
const MOST_ATTEMPTS = 6;

const listeners = new Set<(answered: Answered) => void>();
/** What is being read. */
const underway = new Set<Card>();
let reader: Reader = readOnServer;
let count = 0;

/** Calls `listener` with each answer, once its card shows all of it; returns what ends that. */
export function onAnswer(listener: (answered: Answered) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/**
 * Has pictures read by `other` from now on; without one, by the server. What is on its way to the
 * server is called back: whoever chooses another reader does not want it sent.
 */
export function setReader(other: Reader = readOnServer): void {
  reader = other;
  if (other === readOnServer) return;
  for (const card of underway) card.callBack();
}

/**
 * One picture on the page, with its own state, its own answer and its own error.
 *
 * Two hooks are for what works with answers: `onAnswer`, and a card's `places`. How a picture is
 * read is exchanged by `setReader`.
 */
export class Card {
  readonly element: HTMLElement;
  /** Names the card within the page. */
  readonly id: string;
  /** Settles when the picture is open: a large photo takes a moment to decode. */
  opening: Promise<void>;

  #isOpening = true;
  #state: State = "chosen";
  #answered: Answered | null = null;
  #drawn: DrawnAnswer | null = null;
  #problem = "";
  #progress = "";
  /** The whole picture as it would be read. */
  #whole: Prepared | null = null;
  /** What is read: the whole picture, or what was cut out of it. */
  #read: Prepared | null = null;
  #cut: Cut | null = null;
  #run: AbortController | null = null;
  #gone = false;
  readonly #desk: Desk;

  /** `file` is the picture as it was chosen. */
  constructor(
    readonly file: File,
    desk: Desk,
  ) {
    const element = clone(byId("card-template"));
    this.element = element;
    this.#desk = desk;
    this.id = `picture-${++count}`;
    element.id = this.id;
    const { name } = file;
    element.setAttribute("aria-label", fill(words.card.label, { name }));
    this.#slot("name").textContent = name;
    this.#slot("remove").setAttribute("aria-label", fill(words.card.remove, { name }));
    this.#slot("remove").addEventListener("click", () => this.remove());
    this.#slot("retry").addEventListener("click", () => {
      // The button goes with the problem, and must not take the focus with it.
      element.focus();
      desk.retry(this);
    });
    this.#slot("toggle").addEventListener("click", () => this.open(!this.isOpen));
    this.#slot("crop").addEventListener("click", () => void this.crop());
    this.opening = this.#open();
    this.#show();
  }

  get state(): State {
    return this.#state;
  }

  /** What was answered last; null before, and while it is read again. */
  get answered(): Answered | null {
    return this.#answered;
  }

  /** What is shown of the picture, an object URL that goes with the card; null where nothing is. */
  get shown(): string | null {
    const picture = this.#read?.picture;
    return picture?.size ? picture.url : null;
  }

  /** What the headline of the answer says; empty where there is none. */
  get headline(): string {
    return this.#drawn?.reading.headline ?? "";
  }

  /** Null where there is no answer. */
  get tone(): Tone | null {
    return this.#drawn?.reading.tone ?? null;
  }

  /** Null where there is no answer. */
  get places(): Places | null {
    return this.#drawn && { actions: slot(this.#drawn.element, "actions") };
  }

  /** Whether the answer is unfolded. Alone on the page it always is to be seen. */
  get isOpen(): boolean {
    return this.element.hasAttribute("data-open");
  }

  /** Unfolds or folds the answer. */
  open(open: boolean): void {
    this.element.toggleAttribute("data-open", open);
    this.#slot("toggle").setAttribute("aria-expanded", String(open));
  }

  /** Marks the card as one that will be read once others were. */
  queue(): void {
    this.#run?.abort();
    this.#run = null;
    this.#clear();
    this.#go("waiting", words.analyse.queued);
    this.#bar(null);
  }

  /** Gives up what is being sent, and has the picture read anew where it has no answer yet. */
  callBack(): void {
    underway.delete(this);
    if (this.#answered) this.#run?.abort();
    else this.#desk.retry(this);
  }

  /** Has the picture read; resolves when it was answered, failed or was given up. */
  async read(model: string): Promise<void> {
    this.#run?.abort();
    const run = new AbortController();
    this.#run = run;
    this.#clear();
    this.#go("waiting", words.analyse.opening);
    this.#bar(null);
    underway.add(this);
    try {
      await this.opening.catch(() => (this.opening = this.#open()));
      run.signal.throwIfAborted();
      if (!this.#read) return;
      const { picture } = this.#read;
      const [prediction, manifest] = await Promise.all([
        this.#attempt(picture.file, model, run.signal),
        fetchManifest(model),
      ]);
      run.signal.throwIfAborted();
      const date = Date.now();
      const answered = { card: this, picture: picture.file, prediction, model, manifest, date };
      const crop = this.#isCuttable ? (): void => void this.crop() : null;
      this.#drawn = makeAnswer(prediction, manifest, this.#read.picture, crop);
      this.#slot("answer").replaceChildren(this.#drawn.element);
      this.#answered = answered;
      this.#go("answered");
      void this.#complete(answered, run);
    } catch (error) {
      if (run.signal.aborted) return;
      // What else was asked for it is of no use any more, and would go on telling its progress.
      run.abort();
      this.#run = null;
      this.#problem = error instanceof Problem ? error.message : words.problem.here;
      this.#go("failed");
      if (!(error instanceof Problem)) throw error;
    } finally {
      const isOver = this.#run === run && !this.#answered;
      if (this.#run === null || isOver) underway.delete(this);
    }
  }

  /** Lets a part of the picture be chosen; an answer to another part goes. */
  async crop(): Promise<void> {
    // Nothing is waited for: when it came, another card's dialog might be open.
    if (this.#isOpening || !this.#whole?.picture.size) return;
    const cut = await chooseCut(this.#whole.picture, this.#cut);
    if (cut === undefined || this.#gone) return;
    this.#run?.abort();
    this.#run = null;
    this.#cut = cut;
    this.#clear();
    this.opening = this.#open();
    this.#go(cut ? "cropped" : "chosen");
  }

  /** Takes the card off the page, and gives up what it waits for. */
  remove(): void {
    this.#gone = true;
    this.#run?.abort();
    this.#clear();
    for (const url of this.#urls()) URL.revokeObjectURL(url);
    this.#desk.removed(this);
    this.element.remove();
  }

  async #open(): Promise<void> {
    this.#isOpening = true;
    try {
      await this.#prepare();
    } finally {
      this.#isOpening = false;
      this.#show();
    }
  }

  async #prepare(): Promise<void> {
    const cut = this.#cut;
    const prepared =
      cut || !this.#whole ? await prepare(this.file, this.#desk.leastSide, cut) : this.#whole;
    if (this.#gone || cut !== this.#cut) return URL.revokeObjectURL(prepared.picture.url);
    const before = this.#urls();
    if (!cut) this.#whole = prepared;
    this.#read = prepared;
    for (const url of before) if (!this.#urls().includes(url)) URL.revokeObjectURL(url);
  }

  /** Adds to an answer what it need not wait for. */
  async #complete(answered: Answered, run: AbortController): Promise<void> {
    await this.#borrow(answered.prediction, run.signal);
    if (this.#run === run) {
      this.#run = null;
      underway.delete(this);
    }
    if (this.#answered !== answered || this.#gone) return;
    for (const listener of listeners) listener(answered);
  }

  /** Has the server show what this browser cannot; where the server has not seen it, nobody does. */
  async #borrow({ width, height }: Prediction, signal: AbortSignal): Promise<void> {
    const picture = this.#read?.picture;
    if (!picture || picture.size || reader !== readOnServer) return;
    try {
      const preview = await fetchPreview(picture.file, signal);
      signal.throwIfAborted();
      const size = { width, height };
      const borrowed = { ...picture, url: URL.createObjectURL(preview), size };
      this.#read = { picture: borrowed, original: size };
      this.#drawn?.show(borrowed);
      this.#show();
    } catch {
      // The answer stands without its picture.
    }
  }

  async #attempt(picture: File, model: string, signal: AbortSignal): Promise<Prediction> {
    const progress: Progress = (stage, share) => {
      if (signal.aborted) return;
      this.#go(stage === "sending" ? "sending" : "waiting", words.analyse[stage]);
      this.#bar(share);
    };
    for (let attempt = 1; ; attempt++) {
      try {
        return await reader(picture, model, progress, signal);
      } catch (error) {
        const wait = error instanceof Problem ? error.retryAfter : null;
        if (wait === null || wait > LONGEST_WAIT || attempt === MOST_ATTEMPTS) throw error;
        await this.#pause(Math.max(wait, 1), signal);
      }
    }
  }

  /** Waits as long as a busy server asked for, and counts the seconds down. */
  async #pause(seconds: number, signal: AbortSignal): Promise<void> {
    this.#bar(null);
    for (let left = seconds; left > 0; left--) {
      signal.throwIfAborted();
      this.#go("waiting", fill(words.analyse.busy_server, { seconds: left }));
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    signal.throwIfAborted();
  }

  #clear(): void {
    // What is focused in the answer goes with it, and must not take the focus with it.
    if (this.#drawn?.element.contains(document.activeElement)) this.element.focus();
    this.#drawn?.remove();
    this.#drawn = null;
    this.#answered = null;
    this.#problem = "";
  }

  #go(state: State, progress = ""): void {
    const isNew = state !== this.#state;
    this.#state = state;
    this.#progress = progress;
    this.#show();
    if (isNew) this.#desk.changed(this);
  }

  #bar(share: number | null): void {
    const bar = this.#slot<HTMLProgressElement>("bar");
    if (share === null) bar.removeAttribute("value");
    else bar.value = share;
  }

  #show(): void {
    const { element } = this;
    const busy = this.#state === "sending" || this.#state === "waiting";
    element.dataset["state"] = this.#state;
    element.dataset["tone"] = this.tone ?? "";
    element.toggleAttribute("data-busy", busy);
    this.#slot("note").textContent = busy ? this.#progress : this.#measures();
    this.#slot("verdict").textContent = this.headline;
    this.#slot("bar").hidden = !busy;
    this.#slot("problem").hidden = this.#state !== "failed";
    this.#slot("problem-detail").textContent = this.#problem;
    this.#slot("toggle").hidden = this.#state !== "answered";

    const picture = this.#read?.picture;
    const seen = picture !== undefined && picture.size !== null;
    this.#slot("crop").hidden = !this.#isCuttable || busy;
    // Not `disabled`: that would take the focus away from whoever cropped it by keyboard.
    this.#slot("crop").setAttribute("aria-disabled", String(this.#isOpening));
    for (const name of ["no-preview", "unseen"])
      this.#slot(name).hidden = picture === undefined || seen;
    for (const name of ["thumb", "preview"]) {
      const image = this.#slot<HTMLImageElement>(name);
      image.hidden = !seen;
      if (seen && image.src !== picture.url) image.src = picture.url;
    }
    this.#slot<HTMLImageElement>("preview").alt = fill(words.picture.alt, { name: this.file.name });
  }

  /** How large the picture is, and how large it goes. */
  #measures(): string {
    const original = this.#read?.original;
    const size = this.#read?.picture.size;
    if (!this.#read) return "";
    if (!original || !size) return words.card.unseen;
    const from = fill(words.details.pixels, { ...original });
    if (size.width === original.width && size.height === original.height) return from;
    const to = fill(words.details.pixels, { ...size });
    return fill(this.#cut ? words.card.cropped : words.card.shrunk, { from, to });
  }

  /** Whether this browser can cut a part out of the picture. */
  get #isCuttable(): boolean {
    return Boolean(this.#whole?.picture.size) && givesPixels();
  }

  #urls(): string[] {
    const urls = [this.#whole, this.#read].flatMap((prepared) => prepared?.picture.url ?? []);
    return [...new Set(urls)];
  }

  #slot<E extends HTMLElement = HTMLElement>(name: string): E {
    return slot<E>(this.element, name, "card");
  }
}

async function readOnServer(
  picture: File,
  model: string,
  progress: Progress,
  signal: AbortSignal,
): Promise<Prediction> {
  progress("sending", 0);
  const onSent = (share: number): void =>
    share < 1 ? progress("sending", share) : progress("waiting", null);
  return predict(picture, model, onSent, signal);
}
