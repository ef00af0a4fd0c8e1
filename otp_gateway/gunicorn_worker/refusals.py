"""The reply to a request that gunicorn refuses before Flask sees it: a problem document, as in Flask."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from gunicorn.http import errors
from gunicorn.util import http_date

from otp_gateway.api import problems, request_log
from otp_gateway.errors import InvalidRequest
from otp_gateway.log import get_logger

# Any other fault of the request is a 400, as in gunicorn.
STATUS: dict[type[Exception], HTTPStatus] = {
    errors.ForbiddenProxyRequest: HTTPStatus.FORBIDDEN,
    ssl.SSLError: HTTPStatus.FORBIDDEN,
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
    # Faults of the gateway itself, which gunicorn finds.
    errors.ConfigurationProblem: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.InvalidResponseHeader: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.InvalidResponseHeaderName: HTTPStatus.INTERNAL_SERVER_ERROR,
}
# Python 3.13 changed the phrase of 414. A code must not depend on the version of Python.
CODES = {HTTPStatus.REQUEST_URI_TOO_LONG: "uri_too_long"}
# A text never quotes the request, because a path or a header can contain a phone number.
DETAILS = {
    HTTPStatus.BAD_REQUEST: "The request is not valid HTTP",
    HTTPStatus.FORBIDDEN: "This connection is not allowed",
    HTTPStatus.REQUEST_URI_TOO_LONG: "The request line is too long",
    HTTPStatus.EXPECTATION_FAILED: "The only expectation that is supported is 100-continue",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The header fields are too long, or too many",
    HTTPStatus.NOT_IMPLEMENTED: "The only transfer coding that is supported is chunked",
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED: "The only versions that are supported are HTTP/1.0 and HTTP/1.1",
    HTTPStatus.INTERNAL_SERVER_ERROR: problems.UNEXPECTED,
}
logger = get_logger("otp_gateway.request")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reply without a request."""

    status: HTTPStatus
    request_id: str

    @classmethod
    def of(cls, error: Exception, request: Any) -> Refusal:
        """The reply to ``error``.

        ``request``: gunicorn's request, if its headers were read; otherwise None.
        """
        return cls(_status(error), request_log.id_of(_given_id(request)))

    @property
    def code(self) -> str:
        """The problem's code."""
        return CODES.get(self.status) or problems.code_of(self.status)

    def log(self, error: Exception) -> None:
        """Write the log line of this request, with the kind of the error.

        The error's text quotes the client.
        """
        if self.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            traceback = None if isinstance(error, errors.ParseException) else error
            logger.error("unhandled exception", exc_info=traceback, request_id=self.request_id)
        logger.info(
            "request",
            request_id=self.request_id,
            method=None,
            route=None,
            status=int(self.status),
            error=self.code,
            reason=type(error).__name__,
        )

    def to_bytes(self, more: Mapping[str, str]) -> bytes:
        """The reply as bytes. ``more``: headers that every reply of this gateway has."""
        members: dict[str, Any] = {"errors": {}} if self.code == InvalidRequest.code else {}
        document = problems.document(self.status, self.code, DETAILS[self.status], **members)
        body = f"{json.dumps(document, ensure_ascii=False)}\n".encode()
        headers = {
            "Date": http_date(),
            "Connection": "close",
            "Content-Type": problems.PROBLEM,
            "Content-Length": str(len(body)),
            "X-Request-ID": self.request_id,
            **more,
        }
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def _status(error: Exception) -> HTTPStatus:
    if isinstance(error, errors.InvalidHTTPVersion) and isinstance(error.version, tuple):
        # The version is well-formed, but it is another one.
        return HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    broken = isinstance(error, errors.ParseException)
    return HTTPStatus.BAD_REQUEST if broken else HTTPStatus.INTERNAL_SERVER_ERROR


def _given_id(request: Any) -> str:
    """The request id that the client has sent."""
    headers = getattr(request, "headers", ())
    return next((value for name, value in headers if name == "X-REQUEST-ID"), "")
