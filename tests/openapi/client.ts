// A client that uses the types of openapi-typescript. The TypeScript compiler accepts it only if a request needs no
// other members than those that the API needs, and if a problem is known by its code.
import type { components, operations } from "./schema.js";

type Schemas = components["schemas"];
type Problem<Status extends keyof operations["verifyOtp"]["responses"]> =
  operations["verifyOtp"]["responses"][Status] extends { content: { "application/problem+json": infer Body } }
    ? Body
    : never;

export const send: Schemas["SendRequest"] = { phone_number: "+989123456789" };
export const bySms: Schemas["SendRequest"] = { phone_number: "+989123456789", channel: "sms" };
export const verify: Schemas["VerifyRequest"] = { phone_number: "+989123456789", code: "123456" };

// @ts-expect-error The number is required.
export const nothing: Schemas["SendRequest"] = {};
// @ts-expect-error This gateway has no such channel.
export const byPigeon: Schemas["SendRequest"] = { phone_number: "+989123456789", channel: "pigeon" };

export function triesLeft(problem: Problem<400>): number | undefined {
  // @ts-expect-error Only a wrong code has this member.
  problem.attempts_remaining;
  switch (problem.code) {
    case "invalid_code":
      return problem.attempts_remaining;
    case "invalid_request":
      return Object.keys(problem.errors).length;
    case "invalid_phone_number":
    case "unsupported_destination":
      return undefined;
    default:
      return problem satisfies never;
  }
}

export function accessToken(pair: Schemas["TokenPair"]): string {
  return pair.access_token;
}
