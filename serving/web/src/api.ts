import { isReadable } from "./picture";
import { Watch } from "./silence";
import { fill, isEnglish, translate, words } from "./words";

export type Verdict = "suspicious" | "not_suspicious";
export type Warning = Exclude<keyof typeof words.warnings, "title" | "title_refused" | "crop">;

/** The server's answer to one picture, as `POST /api/v1/predictions` gives it. */
export interface Prediction {
  image: string;
  model: string;
  width: number;
  height: number;
  prediction: string;
  probabilities: Record<string, number>;
  malignant_probability: number | null;
  verdict: Verdict | null;
  prediction_set: string[];
  novelty: number;
  refused: boolean;
  warnings: Warning[];
  /** Left, top, right, bottom of what the model saw, as fractions of the upright picture. */
  view: [number, number, number, number];
  heatmaps?: Record<string, string>;
}

export interface ClassInfo {
  id: string;
  name: string;
  description: string;
  source: string;
  malignant: boolean;
}

/** A figure of the evaluation, with its 95 % interval. */
export interface Metric {
  name: string;
  value: number;
  low: number;
  high: number;
}

/** What the page needs of a model's manifest, as `GET /api/v1/models/{name}` gives it. */
export interface Manifest {
  name: string;
  architecture: string;
  title: string;
  classes: ClassInfo[];
  preprocessing: { fit: "squash" | "crop" | "pad"; size: number };
  operating_points: { threshold: number; sensitivity: number; specificity: number }[];
  conformal: { alpha: number; counts: Record<string, number> };
  novelty_threshold: number;
  /** How it did on pictures that it never saw; of these a result keeps how its heatmaps pointed. */
  metrics?: Metric[];
  training: { datasets: { name: string }[] };
  files: Record<string, string>;
}

/** A failure in words that the person who uploads can act on. */
export class Problem extends Error {
  /** `retryAfter`: seconds after which the server asks to be tried again; null where it does not. */
  constructor(
    message: string,
    readonly retryAfter: number | null = null,
  ) {
    super(message);
  }
}

/** The names of the models that may be asked, the default one first. */
export async function fetchModelNames(): Promise<string[]> {
  const models = (await request("/api/v1/models")) as { name: string }[];
  return models.map((model) => model.name);
}

/** Milliseconds for which a manifest is taken for the server's: a page may be open for days. */
const MANIFEST_LASTS = 60_000;

const manifests = new Map<string, Promise<Manifest>>();

/** The manifest of `model`, asked for at most once a minute. */
export function fetchManifest(model: string): Promise<Manifest> {
  const known = manifests.get(model);
  if (known) return known;
  const asked = requestManifest(model);
  const forget = (): boolean => manifests.delete(model);
  manifests.set(model, asked);
  asked.then(() => setTimeout(forget, MANIFEST_LASTS), forget);
  return asked;
}

/**
 * Sends `picture` and resolves to its prediction, heatmaps included.
 * `onSent` is told the share of the picture that has been sent, from 0 to 1.
 */
export async function predict(
  picture: File,
  model: string,
  onSent: (share: number) => void,
  signal: AbortSignal,
): Promise<Prediction> {
  const query = new URLSearchParams({ model, heatmaps: "true" });
  const request = await post(`/api/v1/predictions?${query}`, picture, "text", onSent, signal);
  const answer = parse(request.response as string);
  if (request.status < 300 && Array.isArray(answer) && answer.length === 1) {
    return answer[0] as Prediction;
  }
  const retryAfter = request.getResponseHeader("Retry-After");
  throw problemFrom(answer, request.status, secondsOf(retryAfter));
}

/** A small JPEG of `picture` from the server, for a browser that cannot show it. */
export async function fetchPreview(picture: File, signal: AbortSignal): Promise<Blob> {
  const { status, response } = await post("/preview", picture, "blob", () => {}, signal);
  if (status >= 300) throw new Problem(fill(words.problem.unexpected, { status }));
  return response as Blob;
}

/** Sends `picture`; resolves when the answer is there, whatever its status. */
function post(
  address: string,
  picture: File,
  responseType: XMLHttpRequestResponseType,
  onSent: (share: number) => void,
  signal: AbortSignal,
): Promise<XMLHttpRequest> {
  const body = new FormData();
  body.append("images", picture, picture.name);
  const watch = new Watch(signal);
  // fetch cannot tell how much of a body has been sent.
  const request = new XMLHttpRequest();
  request.open("POST", address);
  request.responseType = responseType;
  request.setRequestHeader("Accept", "application/json, application/problem+json, image/*");
  return new Promise<XMLHttpRequest>((resolve, reject) => {
    watch.signal.addEventListener("abort", () => {
      request.abort();
      reject(
        watch.wasSilent
          ? new Problem(words.problem.silent)
          : new DOMException("Aborted", "AbortError"),
      );
    });
    request.upload.addEventListener("progress", (event) => {
      watch.heard();
      if (event.lengthComputable) onSent(event.loaded / event.total);
    });
    request.addEventListener("progress", () => watch.heard());
    request.addEventListener("load", () => resolve(request));
    request.addEventListener("error", () => void problemOfSending(picture).then(reject));
    request.send(body);
  }).finally(() => watch.end());
}

/** Why `picture` did not get away: browsers do not tell a file that is gone from a network that is. */
async function problemOfSending(picture: File): Promise<Problem> {
  const { name } = picture;
  if (await isReadable(picture)) return new Problem(words.problem.network);
  return new Problem(fill(words.problem.unreadable, { name }));
}

async function requestManifest(model: string): Promise<Manifest> {
  return translate((await request(`/api/v1/models/${encodeURIComponent(model)}`)) as Manifest);
}

async function request(path: string): Promise<unknown> {
  const watch = new Watch();
  try {
    const response = await fetch(path, { signal: watch.signal });
    const answer = parse(await response.text());
    if (!response.ok || answer === null) throw problemFrom(answer, response.status);
    return answer;
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem(watch.wasSilent ? words.problem.silent : words.problem.network);
  } finally {
    watch.end();
  }
}

function problemFrom(answer: unknown, status: number, retryAfter: number | null = null): Problem {
  if (typeof answer === "object" && answer !== null && "detail" in answer && answer.detail) {
    const detail = told("type" in answer ? answer.type : "", status) ?? String(answer.detail);
    return new Problem(detail, retryAfter);
  }
  return new Problem(fill(words.problem.unexpected, { status }), retryAfter);
}

/** What a Retry-After says in seconds; null where it is not there, or is a date. */
function secondsOf(header: string | null): number | null {
  return header !== null && /^\d+$/.test(header) ? Number(header) : null;
}

/**
 * The page's own words for a problem of this type or, where it has none, of this status; undefined
 * where the server's do. `serving/languages.py` makes the same choice.
 */
function told(type: unknown, status: number): string | undefined {
  if (isEnglish()) return undefined;
  const types: Record<string, string> = words.problems.types;
  const statuses: Record<string, { detail: string }> = words.problems.statuses;
  const [, reason] = String(type).split("#");
  return reason ? types[reason] : statuses[status]?.detail;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
