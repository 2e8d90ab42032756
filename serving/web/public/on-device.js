// Runs before anything can be pressed. Whoever has this browser read the pictures (src/device) must
// not have one sent by a form whose scripts are still on their way.
addEventListener(
  "submit",
  (event) => {
    try {
      if (localStorage.getItem("on-device")) event.preventDefault();
    } catch {
      // A browser that keeps nothing for pages has not kept that wish either.
    }
  },
  true,
);
