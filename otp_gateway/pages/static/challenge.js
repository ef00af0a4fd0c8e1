// Solves a challenge of the gateway (ALTCHA version 2, PBKDF2): in a worker, or in the page if a worker cannot start.
// otp.js loads this file when the gateway asks for it. docs/CHALLENGE.md describes the challenge.
"use strict";

(() => {
  const HERE = globalThis.document?.currentScript?.src;
  const REPORT_EVERY = 50; // ms

  async function compute(challenge, report) {
    const { algorithm, cost, data, keyLength, keyPrefix, nonce, salt } = challenge.parameters;
    const [name, hash] = algorithm.split("/");
    if (name !== "PBKDF2") throw new Error(`cannot solve ${algorithm}`);
    const bytes = (hex) => Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
    const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
    const derivation = { name, hash, salt: bytes(salt), iterations: cost };
    const start = bytes(nonce);

    async function derive(counter) {
      const password = new Uint8Array(start.length + 4);
      password.set(start);
      new DataView(password.buffer).setUint32(start.length, counter);
      const key = await crypto.subtle.importKey("raw", password, name, false, ["deriveBits"]);
      return hex(await crypto.subtle.deriveBits(derivation, key, keyLength * 8));
    }

    // The browser computes these at the same time, on as many cores as it has.
    const atOnce = Math.min(navigator.hardwareConcurrency || 1, 4);
    const began = Date.now();
    let reported = began;
    for (let first = 0; first < data.attempts; first += atOnce) {
      const keys = await Promise.all(Array.from({ length: atOnce }, (_, more) => derive(first + more)));
      const found = keys.findIndex((key) => key.startsWith(keyPrefix));
      if (found >= 0) {
        const solution = { counter: first + found, derivedKey: keys[found], time: Date.now() - began };
        return btoa(JSON.stringify({ challenge, solution }));
      }
      if (Date.now() - reported > REPORT_EVERY) {
        reported = Date.now();
        report((first + atOnce) / data.attempts);
        // In the page: let it draw, and react to its user.
        await new Promise((resolve) => setTimeout(resolve));
      }
    }
    throw new Error("no counter solves the challenge");
  }

  const inWorker = (challenge, report) =>
    new Promise((resolve, reject) => {
      // A page of another origin may not start it: this throws.
      const worker = new Worker(HERE);
      worker.onerror = reject;
      worker.onmessage = ({ data: { done, payload, error } }) => {
        if (done) return report(done);
        worker.terminate();
        if (payload) resolve(payload);
        else reject(error);
      };
      worker.postMessage(challenge);
    });

  if (globalThis.document) {
    globalThis.solveChallenge = (challenge, report) => inWorker(challenge, report).catch(() => compute(challenge, report));
  } else {
    onmessage = async ({ data }) => {
      try {
        postMessage({ payload: await compute(data, (done) => postMessage({ done })) });
      } catch (error) {
        postMessage({ error: error.message });
      }
    };
  }
})();
