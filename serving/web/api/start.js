// Starts Swagger UI on the page of the API's description (serving/description.py).
const place = document.getElementById("api");

window.SwaggerUIBundle({
  domNode: place,
  url: place.dataset.description,
  displayRequestDuration: true,
  // It would put a link into each operation's button, where no keyboard and no screen reader finds it.
  deepLinking: false,
  syntaxHighlight: { theme: "idea" },
  // Both would ask another host.
  validatorUrl: null,
  queryConfigEnabled: false,
});

// What Swagger UI leaves without a name, a role or a way to get to it with the keyboard.
const mended = [
  [".information-container", { role: "region", "aria-label": "About" }],
  [".scheme-container", { role: "region", "aria-label": "Server" }],
  [".info .title", { "aria-level": "2" }],
  ["#servers", { "aria-label": "Server" }],
  [".parameters-col_description select", { "aria-label": "Value" }],
  [".parameters-col_description input, .body-param input", { "aria-label": "Value" }],
  ["input[type=file]", { "aria-label": "File" }],
  [".examples-select-element", { "aria-label": "Example" }],
  [".microlight", { tabindex: "0", role: "group", "aria-label": "Code" }],
];
const mend = () => {
  for (const [selector, attributes] of mended) {
    for (const element of place.querySelectorAll(selector)) {
      for (const [name, value] of Object.entries(attributes)) {
        if (!element.hasAttribute(name)) element.setAttribute(name, value);
      }
    }
  }
};
new MutationObserver(mend).observe(place, { childList: true, subtree: true });
