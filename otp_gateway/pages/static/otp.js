// Phone login in any page. Types: otp.d.ts. Reasons and example: docs/LOGIN_PAGE.md.

globalThis.OTP = (() => {
  const HERE = document.currentScript.src;
  const [SESSION, DEVICES] = ["otp-session", "otp-devices"];

  class Problem extends Error {
    constructor(code, members) {
      super(code);
      Object.assign(this, { status: 0, retry_after: 0, ...members, code });
    }
  }

  const trying = (work) => {
    try { return work(); } catch {}
  };

  // The storage can be missing, blocked or full.
  const unsaved = {};
  const load = (name) => unsaved[name] ?? trying(() => JSON.parse(localStorage[name]));
  const save = (name, value) => {
    unsaved[name] = value;
    trying(() => {
      if (value) localStorage[name] = JSON.stringify(value);
      else delete localStorage[name];
      delete unsaved[name];
    });
  };

  const offline = () => Promise.reject(new Problem("offline"));
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const random = () => String(crypto.getRandomValues(new Uint32Array(4))).replace(/,/g, "-");
  // Each format of a number has this end.
  const end = (phone) => "p" + phone.replace(/\p{Nd}/gu, (d) => d.charCodeAt(0) & 15).replace(/\D/g, "").slice(-9);

  function inOneTab(work) {
    if (!navigator.locks) return work();
    // A frozen tab can hold the lock.
    const signal = AbortSignal.timeout?.(10_000);
    return navigator.locks.request(SESSION, { signal }, work).catch((error) => {
      if (error instanceof Problem) throw error;
      return work();
    });
  }

  const run = (src) =>
    new Promise((onload, onerror) => {
      document.head.append(Object.assign(document.createElement("script"), { src, onload, onerror }));
    });

  return class OTP {
    static Problem = Problem;
    #shared;
    #report;
    #session;
    #refreshing;
    #locked;

    constructor({ keep, onChallenge = () => {} } = {}) {
      this.#shared = keep === "browser";
      this.#report = onChallenge;
    }

    get session() {
      return this.#shared ? load(SESSION) : this.#session;
    }

    async sendOTP(phone, options) {
      let device_token = this.#device(phone);
      let challenge;
      for (let solved = 0; ; ) {
        try {
          return await this.#call("otp", { ...options, phone_number: phone, device_token, challenge });
        } catch (problem) {
          if (device_token && (problem.code === "too_many_attempts" || problem.retry_after > 120)) {
            this.#locked = end(phone);
            device_token = "";
          } else if (problem.challenge && solved++ < 2) challenge = await this.#solve(problem);
          else throw problem;
        }
      }
    }

    async verifyOTP(phone, code) {
      const device_token = this.#device(phone);
      const verify = (device) => this.#call("otp/verify", { phone_number: phone, code, ...device });
      // With cookies, the browser keeps the token.
      const { device_token: token = "-", ...session } = await verify({ device_token }).catch((problem) => {
        if (!device_token || problem.code !== "too_many_attempts") throw problem;
        return verify({ device_token: "" });
      });
      const newest = { [end(phone)]: token };
      const devices = Object.entries({ ...newest, ...load(DEVICES), ...newest });
      save(DEVICES, Object.fromEntries(devices.slice(0, 4)));
      return this.#use(session);
    }

    refresh() {
      const asked = Date.now();
      return (this.#refreshing ??= inOneTab(async () => {
        // Another tab has refreshed; its result takes a moment.
        if (Date.now() - asked > 20) await sleep(100);
        const stored = load(SESSION);
        if (stored?.at >= asked) return (this.#session = stored);
        if (this.#shared && !stored) throw new Problem("invalid_token");
        return this.#use(await this.#call("token/refresh", { refresh_token: this.session?.refresh_token }));
      })
        .catch((problem) => {
          if (problem.code === "invalid_token") this.#use();
          throw problem;
        })
        .finally(() => (this.#refreshing = null)));
    }

    async signOut({ forgetDevice } = {}) {
      await this.#call("token/revoke", { refresh_token: this.session?.refresh_token, forget_device: forgetDevice });
      this.#use();
      if (forgetDevice) save(DEVICES);
    }

    me() {
      return this.#call("me");
    }

    #device(phone) {
      return this.#locked === end(phone) ? "" : load(DEVICES)?.[end(phone)];
    }

    #use(session) {
      this.#session = session && { ...session, at: Date.now() };
      if (this.#shared || !session?.refresh_token) save(SESSION, this.#session);
      return this.#session;
    }

    async #solve(problem) {
      this.#report(0);
      try {
        if (!globalThis.solveChallenge) await run(new URL("challenge.js", HERE));
        return await solveChallenge(problem.challenge, this.#report);
      } catch {
        throw problem;
      }
    }

    async #call(path, body) {
      const token = this.session?.access_token;
      let headers = token && { Authorization: "Bearer " + token };
      if (body) headers = { "Content-Type": "application/json", "Idempotency-Key": random() };
      const signal = AbortSignal.timeout?.(60_000);
      const options = { method: body ? "POST" : "GET", headers, body: JSON.stringify(body), signal };
      const attempt = async () => {
        const reply = await fetch(new URL("../api/v1/usr/" + path, HERE), options);
        return [reply, await reply.text()];
      };
      const again = () => sleep(1000).then(attempt);
      // The same key gives the outcome of the first request.
      let [reply, text] = await attempt().catch(again).catch(offline);
      while (reply.status === 409) [reply, text] = await again().catch(offline);
      const answer = reply.status === 204 ? {} : trying(() => JSON.parse(text));
      if (reply.ok && answer) return answer;
      const retry_after = +reply.headers.get("Retry-After");
      throw new Problem(answer?.code ?? "unknown", { ...answer, status: reply.status, retry_after });
    }
  };
})();
