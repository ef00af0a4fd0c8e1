"""A gateway with two providers: Kavenegar first, and another one by its HTTP interface.

The second one is an emulator of Kavenegar, too. So each fault of ``kavenegar_faults`` can happen to both.
"""

from __future__ import annotations

import json
import re

from tests.conftest import SECRET_KEY
from tests.support.kavenegar import KavenegarEmulator

CODE = re.compile(r"(?<![0-9])[0-9]{6}(?![0-9])")


def two_providers(
    first: KavenegarEmulator, second: KavenegarEmulator, redis_url: str, **variables: str
) -> dict[str, str]:
    """The environment of a gateway that sends by the first provider, otherwise by the second."""
    return {
        "SECRET_KEY": SECRET_KEY,
        "REDIS_URL": redis_url,
        "SMS_BACKEND": "kavenegar,http",
        "KAVENEGAR_API_KEY": first.api_key,
        "KAVENEGAR_BASE_URL": first.base_url,
        "SMS_HTTP_URL": f"{second.base_url}/v1/{second.api_key}/sms/send.json",
        "SMS_HTTP_HEADERS": json.dumps({"Content-Type": "application/x-www-form-urlencoded"}),
        "SMS_HTTP_BODY": "receptor={phone_local}&message={message}",
        "SMS_HTTP_SENT": "return.status=200",
        "OTP_IP_LIMITS": "10000/minute",
        **variables,
    }


def codes_to(phone: str, *emulators: KavenegarEmulator) -> list[str]:
    """The code of each message to the phone."""
    return [
        code
        for emulator in emulators
        for message in emulator.messages_to(phone)
        for code in CODE.findall(message.text)
    ]


def send_calls(emulator: KavenegarEmulator) -> int:
    """The calls that request a message."""
    return sum(request.action == "sms/send" for request in emulator.requests)
