// Types of otp.js, a script that defines the global OTP. docs/LOGIN_PAGE.md describes it.

declare class OTP {
  constructor(options?: OTP.Options);

  /** The session as the gateway last gave it: of this page, or with `keep: "browser"` of this browser. */
  readonly session: OTP.Session | null | undefined;

  /** Send a code. If the gateway asks for a proof of work, the browser does it first. */
  sendOTP(phone: string, options?: OTP.SendOptions): Promise<OTP.Sent>;

  /** Exchange the code for a session. */
  verifyOTP(phone: string, code: string): Promise<OTP.Session>;

  /** Get a new access token. If several tabs call this at once, one of them makes the request. */
  refresh(): Promise<OTP.Session>;

  /** End the session. With `forgetDevice`, this browser also forgets its device tokens. */
  signOut(options?: { forgetDevice?: boolean }): Promise<void>;

  /** The user of the session, as the gateway sees it. */
  me(): Promise<OTP.User>;
}

declare namespace OTP {
  interface Options {
    /**
     * The place of the session: "page", a variable of this page (the default), or "browser", localStorage, where all
     * tabs and later visits find it. If the gateway puts tokens into cookies, no token is in either place.
     */
    keep?: "page" | "browser";
    /** Called while the browser works on a challenge, with the part that is done: first 0, at most 1. */
    onChallenge?: (done: number) => void;
  }

  interface SendOptions {
    channel?: "sms" | "call";
    lang?: "fa" | "en";
  }

  interface Sent {
    message: string;
    /** In E.164. */
    phone_number: string;
    /** Seconds until the code expires. */
    expires_in: number;
    /** Seconds until this phone may request a send again. */
    resend_in: number;
  }

  interface User {
    id: string;
    phone_number: string;
  }

  interface Session {
    user: User;
    token_type: "Bearer";
    /** Seconds that the access token is valid, from `at`. */
    expires_in: number;
    refresh_expires_in: number;
    /** Milliseconds since 1970, by the clock of this browser. */
    at: number;
    /** Not if the gateway puts tokens into cookies. */
    access_token?: string;
    refresh_token?: string;
  }

  /** Every method rejects with this error: the members of the gateway's problem document. */
  class Problem extends Error {
    constructor(code: ProblemCode, members?: object);
    code: ProblemCode;
    /** The HTTP status; 0 if no reply came. */
    status: number;
    /** Seconds after which another attempt can succeed; 0 if the gateway says nothing about this. */
    retry_after: number;
    title?: string;
    /** For people, in English. */
    detail?: string;
    /** With "invalid_code". */
    attempts_remaining?: number;
    /** With "invalid_request": the faults by field. */
    errors?: Record<string, string[]>;
  }

  type ProblemCode =
    // This script: no reply came, or a reply that is not the gateway's.
    | "offline"
    | "unknown"
    // The request.
    | "invalid_request"
    | "invalid_phone_number"
    | "unsupported_destination"
    | "invalid_code"
    | "invalid_challenge"
    | "payload_too_large"
    | "unsupported_media_type"
    | "idempotency_key_reused"
    | "request_in_progress"
    // Limits.
    | "too_many_attempts"
    | "too_many_otp_requests"
    | "rate_limited"
    | "challenge_required"
    | "sending_paused"
    // The session.
    | "invalid_token"
    | "cross_origin"
    // The gateway and its services.
    | "sms_not_configured"
    | "sms_busy"
    | "sms_failed"
    | "sms_unconfirmed"
    | "store_unavailable"
    | "internal_error";
}
