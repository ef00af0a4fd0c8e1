"""The operator's brand on the login page: name, logo, colour, link to the terms."""

from __future__ import annotations

from dataclasses import dataclass

from otp_gateway.settings import Settings
from otp_gateway.settings.brand import LOGO_TYPES

LOGO_URL = "/static/{}"
# The background colours of login.css behind texts in the brand's colour. For each scheme, it is the one with
# less contrast.
LIGHT_GROUND = "#f2f4f9"
DARK_GROUND = "#171d2c"
WHITE, BLACK = "#ffffff", "#000000"
# WCAG 2.2: the contrast that a text needs, and the contrast that a button needs.
READABLE = 4.5
VISIBLE = 1.6
STYLE = """:root {{
  --accent: {light.accent};
  --accent-hover: {light.hover};
  --on-accent: {light.on_accent};
  --link: {light.link};
}}

@media (prefers-color-scheme: dark) {{
  :root {{
    --accent: {dark.accent};
    --accent-hover: {dark.hover};
    --on-accent: {dark.on_accent};
    --link: {dark.link};
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class File:
    """A file that the gateway serves from memory."""

    content: bytes
    media_type: str


class Brand:
    """The values for the template of the page, and the files to which the page links."""

    def __init__(self, settings: Settings) -> None:
        self.name = settings.brand_name
        self.terms = settings.brand_terms
        self.files: dict[str, File] = {}
        self.color_url: str | None = None
        logo = "icon.svg"
        self.logo_type = LOGO_TYPES[".svg"]
        if settings.brand_logo:
            suffix = settings.brand_logo.suffix.lower()
            self.logo_type = LOGO_TYPES[suffix]
            logo = f"brand-logo{suffix}"
            self.files[logo] = File(settings.brand_logo.read_bytes(), self.logo_type)
        # Our own icon does not fit the name or the colour of another brand.
        self.shows_logo = bool(settings.brand_logo or not (settings.brand_name or settings.brand_color))
        self.logo_url = LOGO_URL.format(logo)
        if settings.brand_color:
            self.files["brand.css"] = File(style(settings.brand_color).encode(), "text/css; charset=utf-8")
            self.color_url = LOGO_URL.format("brand.css")


@dataclass(frozen=True, slots=True)
class Scheme:
    """The colours of one colour scheme."""

    accent: str
    hover: str
    on_accent: str
    link: str


def style(color: str) -> str:
    """The style sheet that puts the colour into both colour schemes, so that all texts stay readable."""
    return STYLE.format(light=scheme(color, LIGHT_GROUND, BLACK), dark=scheme(color, DARK_GROUND, WHITE))


def scheme(color: str, ground: str, other: str) -> Scheme:
    """If the brand's colour has too little contrast, it is mixed with the colour ``other``."""
    accent = _until(color, ground, other, VISIBLE)
    on_accent = WHITE if contrast(accent, WHITE) >= READABLE else BLACK
    # The button gets lighter if its text is dark, and darker if its text is light. So the contrast grows.
    hover = _mixed(accent, BLACK if on_accent == WHITE else WHITE, 0.15)
    return Scheme(accent, hover, on_accent, _until(color, ground, other, READABLE))


def contrast(one: str, other: str) -> float:
    """The contrast of two colours as WCAG 2.2 defines it: 1 to 21."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _until(color: str, ground: str, other: str, enough: float) -> str:
    """Mix the colour with the smallest part of the other colour that gives the contrast to the background."""
    mixes = (_mixed(color, other, share / 50) for share in range(51))
    return next(mixed for mixed in mixes if contrast(mixed, ground) >= enough)


def _luminance(color: str) -> float:
    def linear(value: int) -> float:
        share = value / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(value) for value in _channels(color))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _mixed(color: str, other: str, share: float) -> str:
    pairs = zip(_channels(color), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _channels(color: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(color[1:])
    return red, green, blue
