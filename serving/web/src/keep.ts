import { givesPixels } from "./canvas";
import type { Answered } from "./card";
import { byId, slot } from "./template";
import { original, words } from "./words";

/** Offers with an answer what may be done with it: keep it in this browser, print it. */
export function offer(answered: Answered): void {
  const place = answered.card.places?.actions;
  if (!place) return;
  place.append(byId<HTMLTemplateElement>("keep-actions").content.cloneNode(true));
  const keepButton = slot(place, "keep", "keep");
  const kept = slot(place, "kept", "keep");
  const unprinted = slot(place, "unprinted", "keep");
  keepButton.hidden = answered.card.shown === null || !givesPixels();
  keepButton.addEventListener("click", () => {
    void askToKeep(answered).then((isKept) => {
      if (!isKept) return keepButton.focus();
      keepButton.hidden = true;
      kept.hidden = false;
      kept.focus();
    });
  });
  slot(place, "print", "keep").addEventListener("click", () => {
    unprinted.hidden = true;
    void printAnswer(answered).then((problem) => {
      unprinted.hidden = problem === null;
      unprinted.textContent = problem;
    });
  });
  // At once: by the time that it is wanted, the network or this build may have gone.
  fetchStoring().catch(() => {});
  // Whoever prints by the browser's own menu gets the same sheets.
  import("./report").then(
    ({ addReport }) => addReport(answered),
    () => {},
  );
}

/** What keeps an answer. */
function fetchStoring(): Promise<
  [typeof import("./history/result"), typeof import("./history/store")]
> {
  return Promise.all([import("./history/result"), import("./history/store")]);
}

/** Has the answer printed; resolves to why that could not be, or to null. */
async function printAnswer(answered: Answered): Promise<string | null> {
  const report = await import("./report").catch(() => null);
  if (!report) return words.keep.unfetched;
  try {
    await report.printReport(answered);
    return null;
  } catch {
    return words.problem.here;
  }
}

/** Asks for the spot's name, and keeps the answer; resolves to whether it was kept. */
async function askToKeep(answered: Answered): Promise<boolean> {
  const dialog = byId<HTMLDialogElement>("keep");
  const spot = slot<HTMLInputElement>(dialog, "spot", "keep");
  const failed = slot(dialog, "failed", "keep");
  failed.hidden = true;
  // The next lesion is another spot, unless its name is given again.
  spot.value = "";
  dialog.showModal();
  void suggest();
  for (;;) {
    const choice = await closed(dialog);
    const { shown } = answered.card;
    if (choice !== "keep" || !shown) return false;
    const problem = await keep(spot.value, shown, answered);
    if (problem === null) return true;
    failed.textContent = problem;
    failed.hidden = false;
    dialog.showModal();
  }
}

/** Keeps the answer with the picture at `url`; resolves to why that could not be, or to null. */
async function keep(
  spot: string,
  url: string,
  { prediction, manifest, date }: Answered,
): Promise<string | null> {
  const storing = await fetchStoring().catch(() => null);
  if (!storing) return words.keep.unfetched;
  const [{ makeResult }, store] = storing;
  const known = original(manifest);
  const result = await makeResult(spot, date, url, prediction, known).catch(() => null);
  if (!result) return words.problem.here;
  try {
    await store.put(result);
  } catch {
    return words.keep.failed;
  }
  void store.askToStay();
  return null;
}

/** Offers the names that spots have been given. */
async function suggest(): Promise<void> {
  try {
    const { all } = await import("./history/store");
    const names = new Set((await all()).map(({ spot }) => spot).filter((spot) => spot !== ""));
    const options = [...names].map((name) => new Option(name, name));
    byId("keep-spots").replaceChildren(...options);
  } catch {
    // Without them the name is written in full.
  }
}

/** Resolves to the value of the button that closed the dialog. */
function closed(dialog: HTMLDialogElement): Promise<string> {
  dialog.returnValue = "";
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
  });
}
