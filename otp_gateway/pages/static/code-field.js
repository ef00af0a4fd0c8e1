// The field of the code: one input, under one visible cell for each digit. Paste, autofill and screen readers see
// an ordinary input; its own text is transparent.

import { codeIn, localDigits } from "./numbers.js";

export class CodeField {
  #cells;
  #refused = "";
  #complete;
  #fault;
  #language;
  #value = "";

  /** `complete(code)` is called for a new complete code, and `fault(code)` for a text without one code. */
  constructor(input, { language, complete, fault }) {
    this.input = input;
    this.#cells = [...input.parentElement.querySelectorAll("span")];
    this.#language = language;
    this.#complete = complete;
    this.#fault = fault;
    input.addEventListener("paste", (event) => {
      const text = event.clipboardData?.getData("text") ?? "";
      if (!text) return;
      event.preventDefault();
      this.#take(codeIn(text, this.length), true);
    });
    input.addEventListener("input", (event) => {
      // A single character is typed, not pasted. If it is not a digit, the field ignores it.
      const typed = event.inputType === "insertText" && (event.data ?? "").length <= 1;
      const found = codeIn(input.value, this.length);
      this.#take(typed && found.fault ? { code: this.#value } : found, !typed);
    });
    input.addEventListener("click", (event) => this.#selectAt(event));
    for (const kind of ["focus", "blur", "keyup", "select"]) input.addEventListener(kind, () => this.#draw());
    document.addEventListener("selectionchange", () => this.#draw());
  }

  get length() {
    return this.#cells.length;
  }

  /** The digits in ASCII; empty or incomplete if the user has not typed all of them. */
  get value() {
    return this.#value;
  }

  get isComplete() {
    return this.#value.length === this.length;
  }

  clear() {
    this.#refused = "";
    this.#set("");
  }

  /** Put a code in, as autofill does. */
  fill(text) {
    this.#take(codeIn(text, this.length), true);
  }

  /** The gateway has refused this code, so the field does not send it again by itself. */
  refuse(code) {
    this.#refused = code;
    this.input.select();
    this.#draw();
  }

  #take({ code, fault }, whole) {
    if (fault) {
      this.#set("");
      this.#fault(fault);
      return;
    }
    const before = this.#value;
    this.#set(code, whole ? code.length : undefined);
    if (this.isComplete && code !== before && code !== this.#refused) this.#complete(code);
  }

  #set(code, caret = Math.min(this.input.selectionStart ?? code.length, code.length)) {
    this.#value = code;
    if (this.input.value !== code) {
      this.input.value = code;
      this.input.setSelectionRange(caret, caret);
    }
    this.#draw();
  }

  /** A click selects the digit under it, so that the next key replaces this digit. */
  #selectAt(event) {
    const at = this.#cells.findIndex((cell) => event.clientX <= cell.getBoundingClientRect().right);
    const first = Math.min(at < 0 ? this.length : at, this.#value.length);
    this.input.setSelectionRange(first, Math.min(first + 1, this.#value.length));
    this.#draw();
  }

  #draw() {
    const focused = document.activeElement === this.input;
    const { selectionStart: from, selectionEnd: to } = this.input;
    // If the caret is after the last digit, the last cell shows it.
    const caret = Math.min(from, this.length - 1);
    this.#cells.forEach((cell, at) => {
      cell.textContent = localDigits(this.#value[at] ?? "", this.#language);
      cell.classList.toggle("marked", focused && from < to && from <= at && at < to);
      cell.classList.toggle("caret", focused && from === to && at === caret);
    });
  }
}
