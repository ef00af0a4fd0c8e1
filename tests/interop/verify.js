// Checks tokens with jose. It reads one JSON object from stdin, and writes one JSON list of results to stdout.
import { text } from "node:stream/consumers";
import { createRemoteJWKSet, errors, jwtVerify } from "jose";

const { jwks, rules, tokens } = JSON.parse(await text(process.stdin));
const keys = createRemoteJWKSet(new URL(jwks));
const verdicts = [];
for (const token of tokens) {
  try {
    const { payload, protectedHeader } = await jwtVerify(token, keys, rules);
    verdicts.push({ refused: null, payload, header: protectedHeader });
  } catch (error) {
    if (!(error instanceof errors.JOSEError)) throw error;
    verdicts.push({ refused: error.code });
  }
}
console.log(JSON.stringify(verdicts));
