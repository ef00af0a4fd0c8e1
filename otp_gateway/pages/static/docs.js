// Swagger UI over the gateway's own document. Nothing comes from elsewhere, and nothing is asked there.

const place = document.querySelector("#interface");

const NAMES = {
  "#servers": "Server",
  ".examples-select-element": "Example",
  ".body-param__text": "Request body",
  ".close-modal": "Close",
};

/** What Swagger UI leaves out for people who hear the page: parts, names, and headings without a gap. */
function mend() {
  for (const part of place.querySelectorAll(".information-container")) part.role = "banner";
  for (const part of place.querySelectorAll(".scheme-container")) {
    Object.assign(part, { role: "region", ariaLabel: "Server and tokens" });
  }
  for (const heading of place.querySelectorAll("h3, h4, h5")) heading.ariaLevel = heading.tagName[1] - 1;
  for (const [selector, name] of Object.entries(NAMES)) {
    for (const node of place.querySelectorAll(`${selector}:not([aria-label])`)) node.ariaLabel = name;
  }
  for (const table of place.querySelectorAll(".responses-table:not([aria-label])")) {
    table.ariaLabel = `Responses of ${table.closest(".opblock").id.split("-").pop()}`;
  }
  // What scrolls must be within reach of the keyboard.
  for (const text of place.querySelectorAll("pre.microlight")) {
    if (text.scrollWidth > text.clientWidth) text.tabIndex = 0;
  }
  // A link within a button is out of reach; opening an operation puts its address into the address bar anyhow.
  for (const link of place.querySelectorAll("button a[href]")) link.removeAttribute("href");
}

new MutationObserver(mend).observe(place, { childList: true, subtree: true });

SwaggerUIBundle({
  domNode: place,
  url: place.dataset.document,
  // No bar with an address in it: there is one document.
  layout: "BaseLayout",
  validatorUrl: null,
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
});
