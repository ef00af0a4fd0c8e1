"""The operations of load balancers, monitoring and tools."""

from __future__ import annotations

from otp_gateway import errors
from otp_gateway.api import response_schemas
from otp_gateway.openapi import problems
from otp_gateway.openapi.operation import JSON, Operation, json_content


def operations(*, metrics_token: bool, document_path: str) -> list[Operation]:
    """All these operations. ``metrics_token``: a scraper needs a token, and may be on another machine."""
    return [_get_health(), _get_readiness(), _get_metrics(token=metrics_token), _get_openapi(document_path)]


def _get_health() -> Operation:
    return Operation(
        path="/healthz",
        id="getHealth",
        tag="Operations",
        summary="Whether the process answers",
        description="Calls no other service.",
        content=json_content(response_schemas.HealthySchema),
        done="It answers",
        headers=("NoStore",),
    )


def _get_readiness() -> Operation:
    return Operation(
        path="/readyz",
        id="getReadiness",
        tag="Operations",
        summary="Whether the gateway can do its work",
        description="Redis accepts the writes that a login needs, and the SMS service is configured. Each "
        "worker checks Redis at most once a second.",
        content=json_content(response_schemas.ReadySchema),
        done="It is ready",
        problems=(errors.StoreUnavailable.code, errors.SmsNotConfigured.code),
        members={
            errors.StoreUnavailable.code: {
                "parts": {"redis": errors.StoreUnavailable.code, "sms": "ok"},
                "reasons": {"redis": "read_only"},
            },
            errors.SmsNotConfigured.code: {
                "parts": {"redis": "ok", "sms": errors.SmsNotConfigured.code},
                "reasons": {"sms": errors.SmsNotConfigured.code},
            },
        },
    )


def _get_metrics(*, token: bool) -> Operation:
    return Operation(
        path="/metrics",
        id="getMetrics",
        tag="Operations",
        summary="Counters and timings for Prometheus",
        description="The sum over the workers."
        if token
        else "The sum over the workers. Without `METRICS_TOKEN`, only a client on this machine may read "
        "them, and not through a proxy.",
        content={
            kind: {"schema": {"type": "string"}} for kind in ("text/plain", "application/openmetrics-text")
        },
        done="The metrics, in the format that `Accept` prefers",
        headers=("NoStore",),
        problems=(errors.InvalidToken.code,) if token else (problems.FORBIDDEN,),
        security=[{"metrics": []}] if token else (),
    )


def _get_openapi(path: str) -> Operation:
    return Operation(
        path=path,
        id="getOpenapi",
        tag="Operations",
        summary="This document",
        description="The API as this gateway is configured.",
        content={JSON: {"schema": {"type": "object"}}},
        done="OpenAPI 3.1",
        headers=("Revalidate",),
        conditional=True,
    )
