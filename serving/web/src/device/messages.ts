import type { Prediction } from "../api";
import type { Download, DownloadFailure } from "./downloads";
import type { WholeManifest } from "./manifest";

/** What the page asks of its worker. */
export type Task =
  | { kind: "fetch"; downloads: Download[] }
  | { kind: "read"; picture: File; manifest: WholeManifest; runtime: Download };

/** Why there is no answer: beside downloads, a picture or a browser that will not do. */
export type Failure = DownloadFailure | "undecodable" | "broken";

/** From the page: a task under a number of its own, or that the task of a number is not wanted. */
export type Request = { id: number; task: Task } | { id: number; cancel: true };

/** From the worker, of the task with this number. */
export type Reply = { id: number } & (
  { share: number | null } | { reading: true } | { done: Prediction | null } | { failed: Failure }
);
