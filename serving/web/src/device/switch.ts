import { Problem } from "../api";
import { givesPixels } from "../canvas";
import { setReader } from "../card";
import { byId } from "../template";
import { fill, percent, words } from "../words";
import { isAnyKept, keepNothing } from "./downloads";
import { install, uninstall } from "./offline";
import { fetchAll, hasAll, readOnDevice, rest } from "./reader";

const REMEMBERED = "on-device";

/** What is being fetched or looked for; aborted where the switch goes off. */
let fetching: AbortController | null = null;

/** Sets up the switch that has this browser read pictures itself, as it was left the last time. */
export function offerDevice(): void {
  const toggle = byId<HTMLInputElement>("on-device");
  const missing = whatIsMissing();
  if (missing) {
    toggle.disabled = true;
    byId("device-note").textContent = missing;
    return;
  }
  toggle.addEventListener("change", () => (toggle.checked ? void turnOn() : turnOff()));
  const left = recall();
  toggle.checked = left !== null;
  byId("device-delete").addEventListener("click", () => void deleteKept());
  byId("device-retry").addEventListener("click", () => {
    // The button goes with the problem, and must not take the focus with it.
    toggle.focus();
    void turnOn();
  });
  if (left === null) void offerToDelete();
  else if (left === "wanted") void turnOn();
  else void stayOn();
}

/** Goes on where everything was kept, and fetches what is new on the server since. */
async function stayOn(): Promise<void> {
  const run = new AbortController();
  fetching = run;
  setReader(readOnDevice);
  show("on");
  let isWhole: boolean | null = null;
  try {
    isWhole = await hasAll();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
  }
  // Switched off meanwhile: it must not say, or do, what is no longer so.
  if (run.signal.aborted) return;
  fetching = null;
  if (isWhole === null) return show("on_unfetched");
  if (!isWhole) return turnOn();
  // For its new versions.
  await install();
}

async function turnOn(): Promise<void> {
  const run = new AbortController();
  fetching = run;
  // At once, and whatever comes of the fetching: the next picture must not be sent.
  setReader(readOnDevice);
  remember("wanted");
  showProblem(null);
  show("fetching");
  showShare(null);
  try {
    const [isKept, worksOffline] = await Promise.all([fetchAll(showShare, run.signal), install()]);
    run.signal.throwIfAborted();
    const isWhole = isKept && worksOffline;
    if (isWhole) remember("kept");
    show(isWhole ? "on" : "on_unkept");
  } catch (error) {
    if (run.signal.aborted) return;
    show("on_unfetched");
    if (!(error instanceof Problem)) throw error;
    showProblem(error.message);
  } finally {
    if (fetching === run) fetching = null;
  }
}

function turnOff(): void {
  fetching?.abort();
  remember(null);
  setReader();
  rest();
  showProblem(null);
  show("off");
  void offerToDelete();
}

async function offerToDelete(): Promise<void> {
  byId("device-delete").hidden = !(await isAnyKept());
}

async function deleteKept(): Promise<void> {
  await uninstall();
  await keepNothing();
  byId("on-device").focus();
  byId("device-delete").hidden = true;
  byId("device-note").textContent = words.device.deleted;
}

/** What this browser lacks, in words; null where it lacks nothing. */
function whatIsMissing(): string | null {
  if (!isSecureContext) return words.device.insecure;
  const needed = ["Worker", "WebAssembly", "OffscreenCanvas", "caches", "createImageBitmap"];
  const has = needed.every((name) => name in window) && "serviceWorker" in navigator;
  if (!has) return words.device.too_old;
  return givesPixels() ? null : words.device.guarded;
}

type State = "off" | "fetching" | "on" | "on_unkept" | "on_unfetched";

function show(state: State): void {
  const note = byId("device-note");
  const size = note.dataset["megabytes"] ?? "";
  note.hidden = state === "fetching";
  if (state !== "fetching") note.textContent = fill(words.device[state], { size });
  byId("device-fetching").hidden = state !== "fetching";
  byId("device-delete").hidden = true;
  byId("privacy").textContent = state === "off" ? words.privacy : words.device.privacy;
}

function showShare(share: number | null): void {
  const bar = byId<HTMLProgressElement>("device-bar");
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
  const size = byId("device-note").dataset["megabytes"] ?? "";
  byId("device-share").textContent = fill(words.device.fetching, {
    size,
    percent: share === null ? "" : percent(share),
  });
}

function showProblem(detail: string | null): void {
  byId("device-problem").hidden = detail === null;
  byId("device-retry").hidden = detail === null;
  byId("device-problem").textContent = detail;
}

/** How the switch was left: off, on, or on with all that it needs. */
type Left = null | "wanted" | "kept";

function recall(): Left {
  try {
    const left = localStorage.getItem(REMEMBERED);
    return left === "wanted" || left === "kept" ? left : null;
  } catch {
    return null;
  }
}

function remember(left: Left): void {
  try {
    if (left) localStorage.setItem(REMEMBERED, left);
    else localStorage.removeItem(REMEMBERED);
  } catch {
    // A browser that keeps nothing for pages: the switch holds until the page is left.
  }
}
