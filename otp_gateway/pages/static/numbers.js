// Phone numbers and codes in a text: everything that the page can find out without a request.

const DASHES_AND_SPACES = /[\s\u0085\p{Pd}\u2212]/gu;

/** The text with ASCII digits, whatever keyboard it comes from, and without invisible characters. */
export function plain(text) {
  const folded = text.normalize("NFKC").replace(/[۰-۹٠-٩]/g, (digit) => digit.charCodeAt(0) & 15);
  return folded.replace(/[\p{DI}\p{Cf}]/gu, "");
}

/** The digits as the page's language writes them. */
export function localDigits(text, language) {
  return language === "fa" ? text.replace(/\d/g, (digit) => "۰۱۲۳۴۵۶۷۸۹"[digit]) : text;
}

/**
 * Phone numbers by the rules that the server has put into the page: `code` (country code), `pattern` (of the
 * digits of a number of this country), `trunk` (what may be in front of the national number; null if the page
 * cannot know) and `formats` (by country code; each # is a digit).
 */
export class PhoneNumbers {
  constructor({ code, pattern, trunk, formats }) {
    this.code = code;
    this.pattern = new RegExp(`^(?:${pattern})$`);
    this.trunk = trunk === null ? null : new RegExp(`^(?:${trunk})`);
    this.formats = Object.entries(formats);
  }

  /** The code of a fault that the user can correct, or null. The server decides about everything else. */
  fault(text) {
    const { digits, international } = this.#read(text);
    if (!digits) return /\S/.test(text) ? "invalid_phone_number" : "phone_missing";
    const abroad = international && !digits.startsWith(this.code);
    const possible = abroad ? /^[1-9]\d{6,14}$/.test(digits) : this.pattern.test(digits);
    return possible ? null : "invalid_phone_number";
  }

  /** The number in E.164 if the page can know it, otherwise as it was typed. */
  canonical(text) {
    const { digits, international } = this.#read(text);
    if (this.trunk && (!international || digits.startsWith(this.code))) {
      return `+${this.code}${digits.replace(this.trunk, "")}`;
    }
    return international ? `+${digits}` : digits;
  }

  /** The number as the people of its country write it. */
  format(number) {
    for (const [code, format] of this.formats) {
      const digits = number.slice(1 + code.length);
      if (number.startsWith(`+${code}`) && format.split("#").length === digits.length + 1) {
        let next = 0;
        return format.replace(/#/g, () => digits[next++]);
      }
    }
    return number;
  }

  #read(text) {
    const number = plain(text).replace(DASHES_AND_SPACES, "").replace(/[().]/g, "");
    const [, sign, digits] = /^(\+|00)?(\d+)$/.exec(number) ?? [];
    return { digits: digits ?? "", international: Boolean(sign) };
  }
}

/**
 * The code in a text that was typed, pasted or filled in: `{ code }`, which can be incomplete, or `{ fault }`.
 * In a message, the code is the only group of digits with its length. Equal groups count once.
 */
export function codeIn(text, length) {
  const found = plain(text);
  const bare = found.replace(DASHES_AND_SPACES, "");
  if (/^\d*$/.test(bare) && bare.length <= length) return { code: bare };
  const runs = new Set((found.match(/\d+/g) ?? []).filter((run) => run.length === length));
  if (runs.size === 1) return { code: [...runs][0] };
  return { fault: runs.size ? "code_ambiguous" : "code_not_found" };
}
