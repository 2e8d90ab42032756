import { type Manifest, predict, type Prediction } from "./api";

/**
 * One picture on the page: a card with its own state, its own answer and its own error.
 *
 * Two hooks are for what works with answers: `onAnswer`, and `Card.places`. How a picture is read
 * is exchanged by `setReader`.
 */

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
}

/** Where others may put what they add to a card that was answered. */
export interface Places {
  /** A row of buttons below the answer's verdict: print, keep, compare. Empty with each answer. */
  actions: HTMLElement;
}

/** A picture's card. */
export interface Card {
  readonly element: HTMLElement;
  readonly state: State;
  /** The file as it was chosen. */
  readonly file: File;
  /** What was answered last; null before, and while it is read again. */
  readonly answered: Answered | null;
  /** Null where there is no answer. */
  readonly places: Places | null;
}

type Listener = (answered: Answered) => void;

const listeners = new Set<Listener>();
let reader: Reader = readOnServer;

/** Calls `listener` with each answer, once its card shows it; returns what ends that. */
export function onAnswer(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Has pictures read by `other` from now on; without one, by the server. */
export function setReader(other: Reader = readOnServer): void {
  reader = other;
}

/** Reads a picture in the way that was set. */
export const read: Reader = (picture, model, progress, signal) =>
  reader(picture, model, progress, signal);

/** Tells every listener. */
export function tell(answered: Answered): void {
  for (const listener of listeners) listener(answered);
}

async function readOnServer(
  picture: File,
  model: string,
  progress: Progress,
  signal: AbortSignal,
): Promise<Prediction> {
  progress("sending", 0);
  return predict(
    picture,
    model,
    (share) => progress(share < 1 ? "sending" : "waiting", share < 1 ? share : null),
    signal,
  );
}
