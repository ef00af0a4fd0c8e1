// Puts the page's origin into the samples, and shows our own OpenAPI document in Swagger UI. All files are from here.

const place = document.querySelector("#interface");
const SAMPLE_ORIGIN = "http://127.0.0.1:8000";

for (const sample of document.querySelectorAll("[data-sample] code")) {
  sample.textContent = sample.textContent.replaceAll(SAMPLE_ORIGIN, location.origin);
}

// Swagger UI's dark colours need this class.
const dark = matchMedia("(prefers-color-scheme: dark)");
const colour = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", colour);
colour();

const NAMES = {
  ".examples-select-element": "Example",
  ".body-param__text": "Request body",
  ".close-modal": "Close",
};

/** Adds parts of the page that screen readers need and Swagger UI lacks: landmarks, names, levels of headings. */
function mend() {
  for (const part of place.querySelectorAll(".information-container")) {
    Object.assign(part, { role: "region", ariaLabel: "About the API" });
  }
  for (const part of place.querySelectorAll(".scheme-container")) {
    Object.assign(part, { role: "region", ariaLabel: "Tokens" });
  }
  // The page has the heading of the first level.
  for (const heading of place.querySelectorAll(".information-container h1")) {
    Object.assign(heading, { role: "heading", ariaLevel: 3 });
  }
  for (const [selector, name] of Object.entries(NAMES)) {
    for (const node of place.querySelectorAll(`${selector}:not([aria-label])`)) node.ariaLabel = name;
  }
  for (const table of place.querySelectorAll(".responses-table:not([aria-label])")) {
    table.ariaLabel = `Responses of ${table.closest(".opblock").id.split("-").pop()}`;
  }
  // The keyboard must reach each part that scrolls.
  for (const text of place.querySelectorAll("pre.microlight")) {
    if (text.scrollWidth > text.clientWidth) text.tabIndex = 0;
  }
  // The keyboard cannot reach a link inside a button. It is not needed: an open operation is in the address bar.
  for (const link of place.querySelectorAll("button a[href]")) link.removeAttribute("href");
}

/** Replaces the rows of an operation's errors (with headers and examples for each status) by one short row. */
function shortened(responses) {
  const short = {};
  const errors = [];
  for (const [status, response] of Object.entries(responses)) {
    const { description, content } = response;
    if (status < 400) short[status] = { description, content };
    else errors.push(...codesOf(response).map((code) => `[\`${code}\`](#${code})`));
  }
  if (errors.length) short.default = { description: `An error: ${errors.join(", ")}` };
  return short;
}

/** The codes of the problems in a response. */
function codesOf(response) {
  return Object.keys(Object.values(response.content)[0].examples);
}

/** The document as this page shows it: the page itself has the errors, and /openapi.json has everything. */
function readable(whole) {
  const spec = structuredClone(whole);
  delete spec.servers;
  // The page shows the table above.
  spec.info.description = whole.info.description.replace(/\*\*Errors\*\*[^]*?\n\n\|[^]*?\n(?=\n|$)/, "");
  for (const item of Object.values(spec.paths)) {
    for (const operation of Object.values(item)) {
      operation.responses = shortened(operation.responses);
      operation.parameters = operation.parameters.filter(({ $ref }) => !$ref.endsWith("/RequestId"));
    }
  }
  return spec;
}

async function show() {
  const reply = await fetch(place.dataset.document);
  new MutationObserver(mend).observe(place, { childList: true, subtree: true });
  SwaggerUIBundle({
    domNode: place,
    spec: readable(await reply.json()),
    // The bar for the URL is not shown, because there is only one document.
    layout: "BaseLayout",
    validatorUrl: null,
    deepLinking: true,
    // The list of all schemas is long, and each operation shows its own.
    defaultModelsExpandDepth: -1,
    displayRequestDuration: true,
  });
}

show();
