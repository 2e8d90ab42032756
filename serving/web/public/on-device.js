// Runs before anything can be pressed. Whoever has this browser read the pictures (src/device) must
// not have one sent by a form whose scripts are still on their way.
addEventListener(
  "submit",
  (event) => {
    // A dialog's own form sends nothing: it closes the dialog.
    if (event.target.method === "dialog") return;
    try {
      if (localStorage.getItem("on-device")) event.preventDefault();
    } catch {
      // A browser that keeps nothing for pages has not kept that wish either.
    }
  },
  true,
);
