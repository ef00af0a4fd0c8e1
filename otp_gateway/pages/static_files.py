"""The page's files, kept in memory. They and the page are compressed for clients that accept this.

No secret is in them, so the length of a compressed reply cannot show one (BREACH).
"""

from __future__ import annotations

import gzip
import mimetypes
from collections.abc import Mapping
from importlib import resources

from flask import Blueprint, Response, abort, request

from otp_gateway.pages.brand import File

# Types that mimetypes does not know on every machine, or that it confuses with others.
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".ts": "text/plain; charset=utf-8",
}
# A smaller file fits in one packet, and an image is already compressed.
SMALLEST = 512
# The level for pages, which are compressed in each request. A higher level saves few bytes and takes more
# time.
COMPRESSION = 6
COMPRESSED = ("text/", "image/svg")


def install(pages: Blueprint, more: Mapping[str, File]) -> None:
    """Serve the package's files at /static, and ``more`` files next to them."""
    files = _package_files() | dict(more)
    compressed = {
        name: gzip.compress(file.content, mtime=0)
        for name, file in files.items()
        if len(file.content) >= SMALLEST and file.media_type.startswith(COMPRESSED)
    }

    @pages.get("/static/<path:filename>", endpoint="static")
    def static(filename: str) -> Response:
        file = files.get(filename) or abort(404)
        response = Response(file.content, content_type=file.media_type)
        if filename in compressed:
            compress(response, compressed[filename])
        response.add_etag()
        # A browser checks each time whether the file has changed. So page and scripts are from the same
        # release.
        response.cache_control.no_cache = True
        response.make_conditional(request)
        return response


def compress(response: Response, compressed: bytes | None = None) -> None:
    """Compress the reply if the client accepts this. ``compressed``: the compressed body, if it is known."""
    response.vary.add("Accept-Encoding")
    if request.accept_encodings.quality("gzip") > 0:
        response.set_data(compressed or gzip.compress(response.get_data(), COMPRESSION, mtime=0))
        response.content_encoding = "gzip"


def _package_files() -> dict[str, File]:
    folder = resources.files(__package__).joinpath("static")
    return {
        file.name: File(file.read_bytes(), _media_type(file.name))
        for file in folder.iterdir()
        if file.is_file()
    }


def _media_type(name: str) -> str:
    suffix = name[name.rindex(".") :]
    return TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
