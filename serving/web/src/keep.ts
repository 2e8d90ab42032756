import type { Answered } from "./card";
import { byId, slot } from "./template";
import { original } from "./words";

/** Offers with an answer what may be done with it: keep it in this browser, print it. */
export function offer(answered: Answered): void {
  const place = answered.card.places?.actions;
  if (!place) return;
  place.append(byId<HTMLTemplateElement>("keep-actions").content.cloneNode(true));
  const keepButton = slot(place, "keep", "keep");
  const kept = slot(place, "kept", "keep");
  keepButton.hidden = answered.card.shown === null;
  keepButton.addEventListener("click", () => {
    void askToKeep(answered).then((isKept) => {
      if (!isKept) return keepButton.focus();
      keepButton.hidden = true;
      kept.hidden = false;
      kept.focus();
    });
  });
  slot(place, "print", "keep").addEventListener("click", () => {
    void import("./report").then(({ printReport }) => printReport(answered));
  });
  // Whoever prints by the browser's own menu gets the same sheets.
  void import("./report").then(({ addReport }) => addReport(answered));
}

/** Asks for the spot's name, and keeps the answer; resolves to whether it was kept. */
async function askToKeep({ card, prediction, manifest, date }: Answered): Promise<boolean> {
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
    if (choice !== "keep" || !card.shown) return false;
    try {
      const [{ makeResult }, store] = await Promise.all([
        import("./history/result"),
        import("./history/store"),
      ]);
      const known = original(manifest);
      await store.put(await makeResult(spot.value, date, card.shown, prediction, known));
      void store.askToStay();
      return true;
    } catch {
      failed.hidden = false;
      dialog.showModal();
    }
  }
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
