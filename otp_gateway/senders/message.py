"""The text of an SMS."""

from __future__ import annotations


def compose(template: str, code: str, web_domain: str | None = None) -> str:
    """The text with ``{code}`` filled in.

    With a domain, the origin-bound last line follows (WICG "Origin-bound one-time codes delivered via SMS").
    With this line, a browser offers the code only to pages of that origin.
    """
    text = template.replace("{code}", code)
    return f"{text}\n\n@{web_domain} #{code}" if web_domain else text
