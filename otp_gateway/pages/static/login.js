// The login page with its three steps: phone, code, signed in. otp.js makes the requests. This script shows the steps.

import { CodeField } from "./code-field.js";
import { localDigits, PhoneNumbers } from "./numbers.js";

const { delivery, numbers: rules, onward } = document.body.dataset;
const language = document.documentElement.lang;
const page = (id) => document.getElementById(id);
const numbers = new PhoneNumbers(JSON.parse(rules));
const otp = new OTP({ onChallenge: showChallenge });

const SAVED = "otp-step";
const FIRST_RESEND = 30_000; // ms; an SMS can take that long
const HINTED = 60_000; // ms; the longest wait that is only a hint of the gateway
const LONGEST_CODE = 600_000; // ms; the longest lifetime of a code
const SHOW_PROGRESS = 1500; // ms

// The step, and everything that a reload must restore. It contains no secret. Times are in ms since 1970.
const FIRST = { step: "phone", phone: "", expires: 0, resend: 0, since: 0 };
let state = { ...FIRST };
// The wait of the main button of each step, and its phone. An empty phone means every phone.
const NO_HOLD = { phone: "", until: 0 };
const holds = { phone: NO_HOLD, code: NO_HOLD };
let busy = false;

// --- What the user sees ----------------------------------------------------------------------------------

const local = (value) => localDigits(String(value), language);
const words = (id) => (page(id)?.content ?? page(id))?.textContent ?? "";
const fill = (id, values = {}) => words(id).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

/** A wait as m:ss, or in words if it is long. */
function duration(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  if (seconds < 3600) return local(`${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`);
  const [unit, size] = seconds > 86_400 ? ["day", 86_400] : ["hour", 3600];
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long" }).format(Math.ceil(seconds / size));
}

// Both places are live regions: they are always in the page, and screen readers speak a new text in them.
function say(id) {
  page("error").textContent = "";
  page("status").textContent = id ? fill(`text-${id}`) : "";
}

// Problems that the user corrects in the field. Other problems do not mark a field as invalid.
const FIELD_PROBLEMS = [
  "phone_missing", "invalid_phone_number", "unsupported_destination", "payload_too_large",
  "code_incomplete", "code_not_found", "code_ambiguous", "invalid_code", "invalid_request",
];

/** Show a problem. The focus goes to the field with the fault, or to the field in which the user continues. */
function complain({ code, attempts_remaining: attempts }, goOn) {
  const last = code === "invalid_code" && attempts === 0;
  const known = page(`error-${code}`) ? code : "unknown";
  say(null);
  page("error").textContent = fill(`error-${last ? "invalid_code_last" : known}`, { attempts: local(attempts ?? 0) });
  const field = page(state.step);
  const blamed = FIELD_PROBLEMS.includes(code) ? field : null;
  blamed?.setAttribute("aria-invalid", "true");
  (blamed ?? (goOn ? field : null) ?? page("error")).focus();
}

let challenged = 0;
/** The browser solves a challenge: the page says so, and after a while it shows how much is done (0 to 1). */
function showChallenge(done) {
  if (!done) {
    challenged = Date.now();
    say("challenge");
  }
  page("progress").hidden = Date.now() - challenged < SHOW_PROGRESS;
  page("progress").value = done;
}

function show(step) {
  for (const id of ["phone", "code", "user"]) {
    page(`${id}-step`).hidden = id !== step;
    page(`${id}-others`).hidden = id !== step;
  }
  page("submit").hidden = step === "user";
  if (page("terms")) page("terms").hidden = step !== "phone";
  page("title").textContent = words({ phone: "text-title", code: "text-code_title", user: "text-signed_in" }[step]);
  for (const place of document.querySelectorAll("[data-shows]")) place.textContent = local(numbers.format(state.phone));
  reading?.abort();
  say(null);
  blameNothing();
  tick();
}

function blameNothing() {
  for (const field of document.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
}

function put(id, text) {
  if (page(id).textContent !== text) page(id).textContent = text;
}

/** Every text that depends on the time. */
function tick() {
  if (state.step === "user") return;
  const now = Date.now();
  const wait = state.resend - now;
  for (const button of [page("resend"), page("call")]) if (button) button.disabled = wait > 0;
  put("resend", fill(wait > 0 ? "text-resend_in" : "text-resend", { time: duration(wait) }));
  const left = state.expires - now;
  put("left", state.expires ? fill(left > 0 ? "text-valid_for" : "text-expired", { time: duration(left) }) : "");
  const hold = holds[state.step];
  const phone = state.step === "phone" ? numbers.canonical(page("phone").value) : state.phone;
  const held = hold.phone && hold.phone !== phone ? 0 : hold.until - now;
  page("submit").disabled = held > 0;
  const action = state.step === "phone" ? "text-send" : "text-verify";
  put("submit", fill(held > 0 ? "text-try_in" : action, { time: duration(held) }));
}

/** Run one action at a time, and show its problem. */
async function act(work) {
  if (busy) return;
  busy = true;
  document.body.dataset.busy = "";
  say(null);
  blameNothing();
  try {
    await work();
  } catch (problem) {
    if (!(problem instanceof OTP.Problem)) throw problem;
    // A screen reader speaks the same text again only if the place was empty for a moment.
    if (!problem.status) await new Promise((resolve) => setTimeout(resolve, 100));
    if (problem.code === "invalid_token") signedOut();
    complain(problem, problem.goOn);
  } finally {
    busy = false;
    delete document.body.dataset.busy;
    page("progress").hidden = true;
  }
}

// --- The step is kept ------------------------------------------------------------------------------------

/** Put the state into the history's entry and into the tab's storage, if the browser has one. */
function remember({ push = false } = {}) {
  const entry = { otp: state, language };
  try {
    if (push) history.pushState(entry, "");
    else history.replaceState(entry, "");
    if (state.step === "code") sessionStorage.setItem(SAVED, JSON.stringify(state));
    else sessionStorage.removeItem(SAVED);
  } catch {
    // The page works without them.
  }
}

/** The state that this tab had, if its code can still be valid. */
function remembered() {
  let found = history.state?.otp;
  try {
    found ??= JSON.parse(sessionStorage.getItem(SAVED));
  } catch {
    // There is no storage, or the text in it is not ours.
  }
  const times = [found?.expires, found?.resend, found?.since];
  if (typeof found?.phone !== "string" || !times.every(Number.isFinite)) return null;
  const over = found.expires || found.since + LONGEST_CODE;
  return found.step === "code" && over > Date.now() ? found : { ...FIRST, phone: found.phone };
}

function restore(found) {
  state = { ...FIRST, ...found };
  if (state.step === "code") return openCode();
  const phone = page("phone");
  if (state.phone && numbers.canonical(phone.value) !== state.phone) phone.value = local(numbers.format(state.phone));
  show("phone");
  phone.focus();
}

// --- The steps -------------------------------------------------------------------------------------------

const fault = (code) => new OTP.Problem(code);

function typedPhone() {
  const code = numbers.fault(page("phone").value);
  if (code) throw fault(code);
  return page("phone").value;
}

async function send(phone, channel) {
  say("sending");
  let sent;
  try {
    sent = await otp.sendOTP(phone, { channel, lang: language });
  } catch (problem) {
    afterFailedSend(phone, problem);
    throw problem;
  }
  const now = Date.now();
  holds.code = NO_HOLD;
  enterCode(sent.phone_number, now + sent.expires_in * 1000, now + Math.max(FIRST_RESEND, sent.resend_in * 1000));
  say("sent");
}

// The user can still have a code: from an earlier send, or because this message was sent.
const MAY_HAVE_CODE = ["too_many_otp_requests", "rate_limited", "challenge_required", "sending_paused", "sms_unconfirmed"];
const HINTS = ["challenge_required", "sending_paused"];

function afterFailedSend(typed, problem) {
  const { code, retry_after: seconds, status } = problem;
  const phone = state.step === "code" ? state.phone : numbers.canonical(typed);
  const wait = HINTS.includes(code) ? Math.min(seconds * 1000, HINTED) : seconds * 1000;
  const until = Date.now() + (code === "sms_unconfirmed" ? FIRST_RESEND : wait);
  if (status === 429) holds.phone = { phone: code === "rate_limited" ? "" : phone, until };
  const before = state.phone === phone ? state : FIRST;
  if (MAY_HAVE_CODE.includes(code)) {
    problem.goOn = true;
    enterCode(phone, before.expires, Math.max(before.resend, until));
  } else if (status === 429) {
    // Too many attempts: no code of this phone can be verified during this time.
    state.resend = until;
    remember();
    tick();
  }
}

function enterCode(phone, expires, resend) {
  const push = state.step !== "code";
  state = { step: "code", phone, expires, resend, since: Date.now() };
  remember({ push });
  openCode();
}

function openCode() {
  field.clear();
  show("code");
  page("code").focus();
  readTextMessage();
}

async function verify() {
  const { value: code, isComplete } = field;
  if (!isComplete) throw fault("code_incomplete");
  say("verifying");
  try {
    signedIn(await otp.verifyOTP(state.phone, code));
  } catch (problem) {
    if (problem.status) field.refuse(code);
    if (["too_many_attempts", "rate_limited"].includes(problem.code)) {
      holds.code = { phone: state.phone, until: Date.now() + problem.retry_after * 1000 };
      tick();
    }
    // A new code brings new tries, unless the gateway refuses to send it.
    if (problem.code === "too_many_attempts") problem.code = "tries_spent";
    throw problem;
  }
}

/** `answer` has the session, or it is the user. */
function signedIn(answer) {
  state = { ...FIRST, step: "user", phone: (answer.user ?? answer).phone_number };
  show("user");
  state.phone = "";
  remember();
  page("title").focus();
  if (onward) {
    say("onward");
    window.location.replace(onward);
  }
}

function signedOut() {
  state = { ...FIRST };
  remember();
  page("phone").value = "";
  restore(state);
}

/** Let the browser offer the code of the text message (WebOTP), if it can. */
let reading;
async function readTextMessage() {
  if (!("OTPCredential" in window)) return;
  reading = new AbortController();
  try {
    const credential = await navigator.credentials.get({ otp: { transport: ["sms"] }, signal: reading.signal });
    field.fill(credential.code);
  } catch {
    // Declined, timed out or aborted: the user types it.
  }
}

// --- Start -----------------------------------------------------------------------------------------------

const field = new CodeField(page("code"), {
  language,
  complete: () => {
    if (!page("submit").disabled) act(verify);
  },
  fault: (code) => act(() => Promise.reject(fault(code))),
});

function onClick(id, work) {
  page(id)?.addEventListener("click", () => act(work));
}

function listen() {
  page("form").addEventListener("submit", (event) => {
    event.preventDefault();
    act(async () => (state.step === "code" ? verify() : send(typedPhone(), "sms")));
  });
  page("phone").addEventListener("input", tick);
  onClick("have-code", async () => enterCode(numbers.canonical(typedPhone()), 0, 0));
  onClick("resend", () => send(state.phone, "sms"));
  onClick("call", () => send(state.phone, "call"));
  onClick("change", async () => {
    state = { ...FIRST, phone: state.phone };
    remember({ push: true });
    restore(state);
    page("phone").select();
  });
  onClick("refresh", async () => {
    await otp.refresh();
    say("refreshed");
  });
  onClick("sign-out", async () => {
    const forgetDevice = page("forget").checked;
    await otp.signOut({ forgetDevice });
    page("forget").checked = false;
    signedOut();
    say(forgetDevice ? "forgotten" : "signed_out");
  });
  page("language").addEventListener("click", changeLanguage);
  window.addEventListener("popstate", onHistory);
  setInterval(tick, 500);
}

/** A reload keeps the entry's state, also if the browser has no storage. */
function changeLanguage(event) {
  if (event.ctrlKey || event.metaKey || event.shiftKey || state.step === "user") return;
  event.preventDefault();
  history.pushState({ otp: state, language: event.currentTarget.lang }, "", event.currentTarget.href);
  window.location.reload();
}

/** Whether the entry of the history is of the page in its other language; then load that page, at most once. */
function isOtherLanguage() {
  const entry = history.state;
  if (!entry?.language || entry.language === language) return false;
  history.replaceState({ ...entry, language: null }, "");
  window.location.reload();
  return true;
}

function onHistory({ state: entry }) {
  if (isOtherLanguage()) return;
  if (state.step !== "user" && !busy) {
    // The entry can be older than the newest code of this phone.
    const newest = entry?.otp?.phone === state.phone && entry?.otp?.step === state.step ? state : remembered();
    restore(newest ?? FIRST);
    remember();
  }
}

/** Whether this browser can have a session. If the storage does not work, only a request can find out. */
function hadSession() {
  try {
    if ("otp-session" in localStorage) return true;
    localStorage.setItem("otp-probe", "x");
    localStorage.removeItem("otp-probe");
    return false;
  } catch {
    return true;
  }
}

/** A user who has a session need not sign in. With tokens in the page's memory, a new page has no session. */
async function greet() {
  try {
    signedIn(
      await otp.me().catch((problem) => {
        if (problem.code !== "invalid_token" || !hadSession()) throw problem;
        return otp.refresh();
      }),
    );
  } catch {
    // The user signs in.
  }
}

// The user can go back before this script runs.
if (!isOtherLanguage()) {
  listen();
  restore(remembered() ?? FIRST);
  remember();
  if (delivery === "cookies") greet();
}
