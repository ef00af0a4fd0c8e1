"""Turns errors into HTTP replies (problem documents, RFC 9457). One table has the status of each error."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from flask import Flask, Response
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.http import HTTP_STATUS_CODES

from otp_gateway import errors
from otp_gateway.api import context, request_log
from otp_gateway.log import get_logger

STATUS: dict[type[errors.GatewayError], HTTPStatus] = {
    errors.InvalidRequest: HTTPStatus.BAD_REQUEST,
    errors.InvalidPhoneNumber: HTTPStatus.BAD_REQUEST,
    errors.UnsupportedDestination: HTTPStatus.BAD_REQUEST,
    errors.InvalidCode: HTTPStatus.BAD_REQUEST,
    errors.IdempotencyKeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.RequestInProgress: HTTPStatus.CONFLICT,
    errors.TooManyAttempts: HTTPStatus.TOO_MANY_REQUESTS,
    errors.TooManyOtpRequests: HTTPStatus.TOO_MANY_REQUESTS,
    errors.RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    errors.ChallengeRequired: HTTPStatus.TOO_MANY_REQUESTS,
    errors.InvalidChallenge: HTTPStatus.BAD_REQUEST,
    errors.SendingPaused: HTTPStatus.TOO_MANY_REQUESTS,
    errors.InvalidToken: HTTPStatus.UNAUTHORIZED,
    errors.CrossOrigin: HTTPStatus.FORBIDDEN,
    errors.SmsNotConfigured: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.SmsBusy: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.SmsFailed: HTTPStatus.BAD_GATEWAY,
    errors.SmsUnconfirmed: HTTPStatus.GATEWAY_TIMEOUT,
    errors.StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
PROBLEM = "application/problem+json"
# Codes of errors that the web framework finds. Other such errors have the name of their status as code.
FRAMEWORK_CODES = {
    HTTPStatus.BAD_REQUEST: errors.InvalidRequest.code,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "payload_too_large",
    HTTPStatus.INTERNAL_SERVER_ERROR: "internal_error",
}
# Our own texts, for errors whose text in the framework is too long, or is meant for a person with a browser.
FRAMEWORK_DETAILS = {
    HTTPStatus.NOT_FOUND: "There is nothing here",
    HTTPStatus.METHOD_NOT_ALLOWED: "The method is not allowed here",
    HTTPStatus.PRECONDITION_FAILED: "What is here is not what If-Match names",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is larger than 8 KiB",
}
UNEXPECTED = "The server met an unexpected condition"
# Seconds after which a client may try again. This is only a hint: the gateway does not know how long Redis is
# unavailable, or how long an operator needs.
RETRY_HINTS: dict[type[errors.GatewayError], int] = {
    errors.StoreUnavailable: 2,
    errors.SmsNotConfigured: 60,
    errors.SmsBusy: 2,
    errors.RequestInProgress: 1,
    errors.ChallengeRequired: 60,
    errors.SendingPaused: 3600,
}
logger = get_logger("otp_gateway.errors")


def install(app: Flask, report: Callable[..., None]) -> None:
    """Answer every error of every route with a problem document. ``report`` gets the unexpected errors."""

    def unexpected(error: Exception) -> Response:
        report(error, request_id=context.current().request_id, route=request_log.route())
        return _unexpected(error)

    def broken(error: InternalServerError) -> Response:
        """Answer an error that an after-request function or an error handler has raised."""
        return unexpected(error.original_exception or error)  # type: ignore[arg-type]  # stub: BaseException

    app.register_error_handler(errors.GatewayError, _expected)
    app.register_error_handler(HTTPException, _framework)
    app.register_error_handler(InternalServerError, broken)
    app.register_error_handler(Exception, unexpected)
    app.after_request(_unmet)


def document(status: HTTPStatus, code: str, detail: str, **members: Any) -> dict[str, Any]:
    """The problem document. ``members`` are added to the standard ones."""
    return {
        "type": f"urn:otp-gateway:problem:{code}",
        # The phrase of Python is not used, because it changes from version to version.
        "title": HTTP_STATUS_CODES[status],
        "status": int(status),
        "detail": detail,
        "code": code,
        **members,
    }


def problem(status: HTTPStatus, code: str, detail: str, **members: Any) -> Response:
    """A reply with the problem document, ``application/problem+json``."""
    context.current().note(error=code)
    body = json.dumps(document(status, code, detail, **members), ensure_ascii=False)
    return Response(f"{body}\n", status, mimetype=PROBLEM)


def code_of(status: HTTPStatus) -> str:
    """The code of an error that the web framework finds by itself."""
    return FRAMEWORK_CODES.get(status, status.phrase.lower().replace(" ", "_"))


def seconds(milliseconds: int) -> int:
    """The time in whole seconds, rounded up so that it is definitely long enough."""
    return max(1, -(-milliseconds // 1000))


def _expected(error: errors.GatewayError) -> Response:
    response = problem(STATUS[type(error)], error.code, error.detail, **error.data)
    context.current().note(gate=error.gate)
    if isinstance(error, errors.Refused):
        response.headers["Retry-After"] = str(seconds(_wait(error)))
        context.current().note(limit=error.limit)
    elif type(error) in RETRY_HINTS:
        response.headers["Retry-After"] = str(RETRY_HINTS[type(error)])
    if isinstance(error, errors.InvalidToken):
        # RFC 6750, section 3.
        response.headers["WWW-Authenticate"] = 'Bearer realm="otp-gateway", error="invalid_token"'
    if isinstance(error, errors.SendFailed):
        context.current().note(
            reason=error.reason,
            fault=error.fault,
            provider_code=error.provider_code,
            backend=error.backend or None,
        )
    if isinstance(error, errors.StoreUnavailable | errors.InvalidChallenge | errors.SendingPaused):
        context.current().note(reason=error.reason)
    return response


def _wait(error: errors.Refused) -> int:
    """The wait of the phone or of the address, whichever is longer: it must be enough to wait for so long."""
    admission = context.current().admission
    return max(error.retry_after, admission.retry_after if admission else 0)


def _framework(error: HTTPException) -> Response:
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    detail = FRAMEWORK_DETAILS.get(status) or error.description or status.phrase
    code = code_of(status)
    # The members are the same as if a route had found the error.
    members: dict[str, Any] = {"errors": {}} if code == errors.InvalidRequest.code else {}
    response = problem(status, code, detail, **members)
    for name, value in error.get_headers():
        if name not in ("Content-Type", "Content-Length"):
            response.headers[name] = value
    return response


def _unexpected(error: Exception) -> Response:
    logger.error("unhandled exception", exc_info=error, request_id=context.current().request_id)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return problem(status, code_of(status), UNEXPECTED)


def _unmet(response: Response) -> Response:
    """Make the reply to an unmet If-Match a problem document. Werkzeug sets only the status."""
    status = HTTPStatus.PRECONDITION_FAILED
    if response.status_code == status and response.mimetype != PROBLEM:
        response.close()
        response.direct_passthrough = False
        response.set_data(problem(status, code_of(status), FRAMEWORK_DETAILS[status]).get_data())
        response.mimetype = PROBLEM
        response.headers["Cache-Control"] = "no-store"
    return response
