// An app that uses otp.js with its types. The TypeScript compiler accepts it only if the types allow every documented
// use, and if they refuse the mistakes that are marked here.

const otp = new OTP({ keep: "browser", onChallenge: (done) => done.toFixed(2) });

export async function signIn(phone: string, code: () => string): Promise<string> {
  const sent = await otp.sendOTP(phone, { channel: "call", lang: "fa" });
  const seconds: number = sent.expires_in + sent.resend_in;
  const session = await otp.verifyOTP(sent.phone_number, code());
  const bearer: string | undefined = session.access_token;
  return `${session.user.id} ${session.user.phone_number} ${session.at} ${seconds} ${bearer}`;
}

export async function stay(): Promise<OTP.Session | undefined> {
  if (!otp.session) return undefined;
  const user: OTP.User = await otp.me();
  console.log(user.phone_number);
  return otp.refresh();
}

export function signOut(): Promise<void> {
  return otp.signOut({ forgetDevice: true });
}

export function words(problem: unknown): string {
  if (!(problem instanceof OTP.Problem)) throw problem;
  switch (problem.code) {
    case "invalid_code":
      return `${problem.attempts_remaining ?? 0} left`;
    case "too_many_otp_requests":
    case "sending_paused":
      return `in ${problem.retry_after} s`;
    case "invalid_request":
      return Object.values(problem.errors ?? {}).flat().join();
    default:
      return `${problem.status} ${problem.detail ?? problem.message}`;
  }
}

// @ts-expect-error A gateway has no such channel.
void otp.sendOTP("09123456789", { channel: "pigeon" });
// @ts-expect-error A code can begin with zeros, so it is a text.
void otp.verifyOTP("09123456789", 123456);
// @ts-expect-error The place of the session is "page" or "browser".
new OTP({ keep: "cookie" });
// @ts-expect-error Only the script sets the session.
otp.session = null;
// @ts-expect-error No problem has this code.
export const unknownCode: OTP.ProblemCode = "too_many_requests";
// @ts-expect-error There may be no session.
export const token: string = otp.session.access_token;
