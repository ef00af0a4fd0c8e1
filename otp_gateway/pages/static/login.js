// The login flow: phone, code, signed in. An example for front ends: sendOTP and verifyOTP are all it takes.

const { api, delivery, length, onward } = document.body.dataset;
const CODE_LENGTH = Number(length);
const PATIENCE = 60_000; // ms; longer than the gateway waits for its SMS provider
const language = document.documentElement.lang;
const page = (id) => document.getElementById(id);
const digits = new Intl.NumberFormat(language, { useGrouping: false });

// With cookies the browser keeps the tokens, out of reach of this script. Otherwise they stay in this
// variable: anything stored could be read by a script that got into the page.
let tokens = null;
let phoneNumber = "";
let busy = false;

// --- The API ---------------------------------------------------------------------------------------------

/** An error of the API: `code` is stable, `wait` is in seconds. */
class Problem extends Error {
  constructor(code, wait = 0, attempts = null) {
    super(code);
    Object.assign(this, { code, wait, attempts });
  }
}

// The gateway gives the outcome of the first request to a repeat with the same Idempotency-Key.
const REPEATABLE = ["/otp", "/otp/verify", "/token/refresh"];
const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
const second = () => new Promise((resolve) => setTimeout(resolve, 1000));

async function call(path, { method = "POST", body, headers = {} } = {}) {
  const repeatable = method === "POST" && REPEATABLE.includes(path);
  const options = {
    method,
    headers: {
      ...headers,
      ...(method === "POST" && { "Content-Type": "application/json" }),
      ...(repeatable && { "Idempotency-Key": newKey() }),
    },
    body: method === "POST" ? JSON.stringify(body ?? {}) : undefined,
    signal: AbortSignal.timeout(PATIENCE),
  };
  // A reply that was lost on the way: the request is made once more, and not counted twice.
  const post = () => fetch(api + path, options);
  let reply;
  try {
    reply = await (repeatable ? post().catch(() => second().then(post)) : post());
    while (repeatable && reply.status === 409) reply = await second().then(post);
  } catch {
    throw new Problem("offline");
  }
  if (reply.status === 204) return {};
  const answer = await reply.json().catch(() => null);
  if (reply.ok && answer) return answer;
  const wait = Number(reply.headers.get("Retry-After")) || 0;
  throw new Problem(answer?.code ?? "unknown", wait, answer?.attempts_remaining);
}

/** Ask for a code. Resolves to { phone_number, expires_in, resend_in }, times in seconds. */
const sendOTP = (phone, channel = "sms") => call("/otp", { body: { phone_number: phone, channel } });

/** Exchange the code for tokens. Resolves to { user, … }, and the tokens unless they are in cookies. */
const verifyOTP = (phone, code) => call("/otp/verify", { body: { phone_number: phone, code } });

const refreshTokens = () => call("/token/refresh", { body: tokens ? { refresh_token: tokens.refresh_token } : {} });
const revokeTokens = () => call("/token/revoke", { body: tokens ? { refresh_token: tokens.refresh_token } : {} });
const whoAmI = () => call("/me", { method: "GET", headers: tokens ? { Authorization: `Bearer ${tokens.access_token}` } : {} });

/** Keep what verifyOTP and refreshTokens resolve to. With cookies only a mark, no secret: try again on a reload. */
function keep(answer) {
  tokens = answer?.refresh_token ? answer : null;
  if (delivery === "cookies") localStorage[answer ? "setItem" : "removeItem"]("session", "kept");
}

// --- What people see -------------------------------------------------------------------------------------

function fill(id, values = {}) {
  const text = page(id)?.content.textContent ?? "";
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

// Both places are live regions: always there, and screen readers speak what is put in.
function say(id, values) {
  page("error").textContent = "";
  page("status").textContent = id ? fill(`text-${id}`, values) : "";
}

// What the person mends in the field. The others blame no field.
const FIELD_PROBLEMS = [
  "phone_missing", "invalid_phone_number", "unsupported_destination", "payload_too_large",
  "code_incomplete", "invalid_code", "invalid_request",
];

function complain(problem, field) {
  const last = problem.code === "invalid_code" && problem.attempts === 0;
  const known = page(`error-${problem.code}`) ? problem.code : "unknown";
  say(null);
  page("error").textContent = fill(`error-${last ? "invalid_code_last" : known}`, {
    attempts: digits.format(problem.attempts ?? 0),
    time: duration(problem.wait || 1),
  });
  const blamed = FIELD_PROBLEMS.includes(problem.code) ? field : null;
  blamed?.setAttribute("aria-invalid", "true");
  // A text that may be on its way leaves the person in the code's field.
  if (problem.code !== "sms_unconfirmed") (blamed ?? page("error")).focus();
}

function duration(seconds, round = Math.ceil) {
  const units = [["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const [unit, size] = units.find(([, size]) => seconds >= size * (size === 60 ? 3 : 1)) ?? units[3];
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long" }).format(round(seconds / size));
}

function show(step) {
  reading?.abort();
  for (const id of ["phone-step", "code-step", "user-step"]) page(id).hidden = id !== step;
  page("title").hidden = step === "user-step";
}

/** Run one action at a time; its problem is shown, at the field if that is to blame. */
async function act(field, work) {
  if (busy) return;
  busy = true;
  document.body.dataset.busy = "";
  say(null);
  for (const blamed of document.querySelectorAll("[aria-invalid]")) blamed.removeAttribute("aria-invalid");
  try {
    await work();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.code === "invalid_token") signedOut();
    complain(problem, field);
  } finally {
    busy = false;
    delete document.body.dataset.busy;
  }
}

// --- The steps -------------------------------------------------------------------------------------------

async function send(channel) {
  say("sending");
  let sent;
  try {
    sent = await sendOTP(phoneNumber, channel);
  } catch (problem) {
    if (["too_many_otp_requests", "too_many_attempts", "rate_limited"].includes(problem.code)) countDown(problem.wait);
    // Perhaps it arrives all the same: let the person enter it.
    if (problem.code === "sms_unconfirmed") askForCode(phoneNumber);
    throw problem;
  }
  askForCode(sent.phone_number);
  say("sent", { time: duration(sent.expires_in, Math.round) });
  countDown(sent.resend_in);
}

function askForCode(phone) {
  phoneNumber = phone;
  for (const place of document.querySelectorAll('[data-shows="phone"]')) place.textContent = phone;
  show("code-step");
  page("code").value = "";
  page("code").focus();
  readTextMessage();
}

async function verify() {
  const code = codeDigits();
  if (code.length !== CODE_LENGTH) throw new Problem("code_incomplete");
  say("verifying");
  try {
    signedIn(await verifyOTP(phoneNumber, code));
  } catch (problem) {
    page("code").select();
    // A new code brings new tries, unless that is refused as well.
    if (problem.code === "too_many_attempts") problem.code = "tries_spent";
    throw problem;
  }
}

/** `answer` is verifyOTP's or refreshTokens', or whoAmI's: the user alone. */
function signedIn(answer) {
  if (answer.user) keep(answer);
  const user = answer.user ?? answer;
  for (const place of document.querySelectorAll('[data-shows="user"]')) place.textContent = user.phone_number;
  say(null);
  show("user-step");
  page("user-title").focus();
  if (onward) {
    say("onward");
    window.location.assign(onward);
  }
}

function signedOut() {
  keep(null);
  show("phone-step");
  page("phone").focus();
}

let ticking;
function countDown(seconds) {
  clearInterval(ticking);
  const until = Date.now() + seconds * 1000;
  const buttons = [page("resend"), page("call")].filter(Boolean);
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    for (const button of buttons) button.disabled = left > 0;
    page("resend").textContent = left > 0 ? fill("text-resend_in", { time: duration(left) }) : fill("text-resend");
    if (left <= 0) clearInterval(ticking);
  };
  ticking = setInterval(tick, 1000);
  tick();
}

// --- Typing ----------------------------------------------------------------------------------------------

/** The code's digits in ASCII, whichever keyboard they come from. */
function codeDigits() {
  return page("code").value.normalize("NFKC").replace(/[۰-۹٠-٩]/g, (d) => d.charCodeAt(0) & 15).replace(/\D/g, "");
}

/** Let the browser offer the code of the text message (WebOTP), where it can. */
let reading;
async function readTextMessage() {
  if (!("OTPCredential" in window)) return;
  reading = new AbortController();
  try {
    const credential = await navigator.credentials.get({ otp: { transport: ["sms"] }, signal: reading.signal });
    page("code").value = credential.code;
    await act(page("code"), verify);
  } catch {
    // Declined, timed out or aborted: the person types it.
  }
}

function start() {
  page("phone-step").addEventListener("submit", (event) => {
    event.preventDefault();
    act(page("phone"), () => {
      phoneNumber = page("phone").value;
      if (!phoneNumber.trim()) throw new Problem("phone_missing");
      return send("sms");
    });
  });
  page("code-step").addEventListener("submit", (event) => {
    event.preventDefault();
    act(page("code"), verify);
  });
  page("code").addEventListener("input", () => {
    if (codeDigits().length === CODE_LENGTH) act(page("code"), verify);
  });
  page("resend").addEventListener("click", () => act(null, () => send("sms")));
  page("call")?.addEventListener("click", () => act(null, () => send("call")));
  page("change").addEventListener("click", () => act(null, () => {
    countDown(0);
    show("phone-step");
    page("phone").focus();
    page("phone").select();
  }));
  page("refresh").addEventListener("click", () => act(null, async () => {
    keep(await refreshTokens());
    say("refreshed");
  }));
  page("sign-out").addEventListener("click", () => act(null, async () => {
    await revokeTokens();
    signedOut();
    say("signed_out");
  }));
  if (delivery === "cookies") greet();
}

/** Who has signed in before need not again. With tokens in memory nobody has. */
async function greet() {
  try {
    signedIn(await whoAmI().catch((problem) => {
      if (problem.code === "invalid_token" && localStorage.getItem("session")) return refreshTokens();
      throw problem;
    }));
  } catch (problem) {
    if (problem.code === "invalid_token") localStorage.removeItem("session");
  }
}

start();
