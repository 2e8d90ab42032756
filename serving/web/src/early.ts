/**
 * Runs before the page is drawn or anything can be pressed, as a classic script: it says that there
 * are scripts, and keeps a form from sending what was to stay while the others are on their way.
 */

const root = document.documentElement;

root.dataset["scripted"] = "";

// Where the others cannot be fetched, the page is one without scripts.
addEventListener(
  "error",
  ({ target }) => {
    if (target instanceof HTMLScriptElement) delete root.dataset["scripted"];
  },
  true,
);

addEventListener(
  "submit",
  (event) => {
    // A dialog's own form sends nothing: it closes the dialog.
    const isDialogs = event.target instanceof HTMLFormElement && event.target.method === "dialog";
    if (isDialogs || !isToStay()) return;
    event.preventDefault();
    // It is there until src/main.ts has come.
    const late = document.getElementById("late");
    if (late) late.hidden = false;
  },
  true,
);

/** Whether this browser was told to read the pictures itself (src/device). */
function isToStay(): boolean {
  try {
    return localStorage.getItem("on-device") !== null;
  } catch {
    // A browser that keeps nothing for pages has not kept that wish either.
    return false;
  }
}

export type {};
