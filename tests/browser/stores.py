"""Browsers whose storage is not as usual, as scripts that run before the page's."""

from __future__ import annotations

# Android's WebView gives null unless its app allows storage. A browser that blocks site data throws.
WITHOUT_STORAGE = {
    "null": """
        for (const name of ["localStorage", "sessionStorage"])
          Object.defineProperty(window, name, { get: () => null });
    """,
    "blocked": """
        for (const name of ["localStorage", "sessionStorage"])
          Object.defineProperty(window, name, {
            get() { throw new DOMException("Access is denied for this document.", "SecurityError"); },
          });
    """,
    "full": """
        const full = () => { throw new DOMException("The quota has been exceeded.", "QuotaExceededError"); };
        Storage.prototype.setItem = full;
        for (const name of ["localStorage", "sessionStorage"]) {
          const store = window[name];
          const proxy = new Proxy(store, {
            get: (_, key) => (typeof store[key] === "function" ? store[key].bind(store) : store[key]),
            set: full,
          });
          Object.defineProperty(window, name, { get: () => proxy });
        }
    """,
}
