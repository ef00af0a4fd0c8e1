"""A WSGI module around the gateway. Its sender fails with an unexpected error that quotes all its data."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from flask import request

from otp_gateway import create_app
from otp_gateway.messages import Message


class Failing:
    """A sender whose error contains private data."""

    configured = True

    def send(self, message: Message, deadline: float) -> None:
        """Keep the code for the test, and fail with all values of the function."""
        del deadline
        phone, code = message.phone, message.code
        Path(os.environ["LEFT_FOR_THE_TEST"]).write_text(json.dumps([phone.e164, code]))
        everything = {
            "phone": phone.e164,
            "masked": phone.masked,
            "code": code,
            "headers": dict(request.headers),
            "body": request.get_data(as_text=True),
            "address": request.remote_addr,
            "environment": dict(os.environ),
        }
        fail(everything, str(everything))


def fail(everything: Mapping[str, object], text: str) -> None:
    """Raise a chain of errors with notes, groups and arguments, all of which hold the text."""
    local = text
    try:
        try:
            raise KeyError(local, everything)  # noqa: TRY301  # the test needs a chain
        except KeyError as error:
            error.add_note(local)
            raise ExceptionGroup(local, [ValueError(local), OSError(5, local, local)]) from error
    except ExceptionGroup:
        # Not "from": reports include the context as well.
        final = RuntimeError(local, everything)
        final.add_note(local)
        raise final  # noqa: B904  # see above


app = create_app(sender=Failing())
