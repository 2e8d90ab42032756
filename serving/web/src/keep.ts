import type { Answered } from "./card";
import { original } from "./words";

/** Offers with an answer what may be done with it: keep it in this browser, print it. */
export function offer(answered: Answered): void {
  const template = document.querySelector<HTMLTemplateElement>("#keep-actions");
  const place = answered.card.places?.actions;
  if (!template || !place) return;
  place.append(template.content.cloneNode(true));
  const part = (name: string): HTMLElement => {
    const found = place.querySelector<HTMLElement>(`[data-keep="${name}"]`);
    if (!found) throw new Error(`There is no action ${name}`);
    return found;
  };
  const keepButton = part("keep");
  keepButton.hidden = answered.card.shown === null;
  keepButton.addEventListener("click", () => {
    void askToKeep(answered).then((kept) => {
      if (!kept) return keepButton.focus();
      keepButton.hidden = true;
      part("kept").hidden = false;
      part("kept").focus();
    });
  });
  part("print").addEventListener("click", () => {
    void import("./report").then(({ printReport }) => printReport(answered));
  });
  // Whoever prints by the browser's own menu gets the same sheets.
  void import("./report").then(({ addReport }) => addReport(answered));
}

/** Asks for the spot's name, and keeps the answer; resolves to whether it was kept. */
async function askToKeep({ card, prediction, manifest, date }: Answered): Promise<boolean> {
  const dialog = document.querySelector<HTMLDialogElement>("#keep");
  const spot = dialog?.querySelector<HTMLInputElement>("[data-keep=spot]");
  const failed = dialog?.querySelector<HTMLElement>("[data-keep=failed]");
  if (!dialog || !spot || !failed) throw new Error("The page has no dialog to keep");
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
    document.querySelector("#keep-spots")?.replaceChildren(...options);
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
