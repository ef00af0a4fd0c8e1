"""The pages for people: the login page, the description of the interface, and its document."""

from __future__ import annotations

import json

from tests.capture.stage import Site, Stage

FILE = "pages.txt"
CONFIGURATIONS: dict[str, dict[str, str | None]] = {
    "default": {},
    "call-and-metrics-token": {"KAVENEGAR_TEMPLATE": "login", "METRICS_TOKEN": "a-token-for-scrapers"},
    "cookies": {"AUTH_COOKIES": "true"},
    "other-origins": {"CORS_ORIGINS": "https://app.example.com"},
}


def run(stage: Stage) -> None:
    """Each page in each of its forms."""
    stage.scene("Pages")
    for name, variables in CONFIGURATIONS.items():
        site = Site(stage, f"document: {name}", **variables)
        document = site.client.get("/openapi.json").get_json()
        document["info"]["version"] = "<version>"
        text = json.dumps(document, ensure_ascii=False, indent=1)
        stage.files[f"openapi-{name}.json"] = f"{text}\n"
    body = Site(stage, "page, tokens in the body", KAVENEGAR_TEMPLATE="login", OTP_LENGTH="8")
    onward = "https://app.example.com/home,https://other.example.com"
    cookies = Site(stage, "page, tokens in cookies", AUTH_COOKIES="true", OTP_LOGIN_REDIRECT=onward)
    for site in (body, cookies):
        site.ask("GET", "/?lang=en", file=FILE)
        site.ask("GET", "/?lang=fa", file=FILE)
    body.ask("GET", "/", file=FILE, headers={"Accept-Language": "fa-IR,fa;q=0.9"}, body=False)
    body.ask("GET", "/", file=FILE, headers={"Accept-Language": "de"}, body=False)
    cookies.ask("GET", "/?lang=en&next=https://other.example.com/deep", file=FILE)
    cookies.ask("GET", "/?lang=en&next=https://evil.example", file=FILE)
    tag = body.ask("GET", "/docs", file=FILE).headers["ETag"]
    body.ask("GET", "/docs", file=FILE, headers={"If-None-Match": tag})
    body.ask("GET", "/docs", file=FILE, headers={"If-Match": '"other"'})
