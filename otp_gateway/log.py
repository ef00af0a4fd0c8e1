"""Structured logs: one JSON object for each line, or short text on a terminal."""

from __future__ import annotations

import json
import logging
import logging.config
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog

from otp_gateway import terminal_log

# Loggers that are silenced. Some would print secrets (urllib3: the URL with the provider's key, also at
# WARNING). The others would repeat the line of the request.
QUIET = ("urllib3", "flask-limiter", "werkzeug")


ENCODER = json.JSONEncoder(ensure_ascii=False, default=repr)


def stamp(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the time (UTC) with milliseconds. Microseconds are six digits, and would look like a code."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    event["timestamp"] = now.replace("+00:00", "Z")
    return event


class Discretion(logging.Filter):
    """Removes texts of clients from the servers' own messages: a path can hold a phone number or a code."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Accept the record. If it quotes the request, shorten it first."""
        message = record.getMessage()
        for opening in ("Invalid request", "Error handling request", "Exception on"):
            if message.startswith(opening):
                record.msg, record.args, record.exc_info = opening, (), None
        return True


class Handler(logging.StreamHandler[TextIO]):
    """Writes records, and lines that are complete already."""

    def write_line(self, line: str) -> None:
        """Write the line at once, as ``emit`` does with the text of a record."""
        self.acquire()
        try:
            self.stream.write(f"{line}\n")
            self.flush()
        except Exception:  # noqa: BLE001  # as in logging: a log that cannot be written stops no request
            self.handleError(logging.makeLogRecord({"msg": "a line was not written"}))
        finally:
            self.release()


class LineLogger:
    """A logger for the line of each request: it renders the line once, and makes no record of ``logging``.

    Without records, the line takes half of the time.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._logger = get_logger(name)
        self._levels = logging.getLogger(name)

    def info(self, event: str, **values: Any) -> None:
        """Write one line."""
        if not self._levels.isEnabledFor(logging.INFO):
            return
        handlers = [each for each in logging.getLogger().handlers if isinstance(each, Handler)]
        if not handlers:
            self._logger.info(event, **values)
            return
        if handlers[0].stream.isatty():
            handlers[0].write_line(terminal_log.request_line(values))
            return
        line = stamp(None, "", values | {"event": event, "level": "info", "logger": self._name})
        handlers[0].write_line(ENCODER.encode(line))


def configuration(level: str) -> dict[str, Any]:
    """A ``logging.config.dictConfig`` for the process, which also covers the messages of gunicorn."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        stamp,
    ]
    terminal = sys.stderr.isatty()
    render: Any = terminal_log.render if terminal else structlog.processors.JSONRenderer(ensure_ascii=False)
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": shared,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    # Tracebacks are plain text, because structlog's own formats print the local variables.
                    structlog.processors.format_exc_info,
                    render,
                ],
            }
        },
        "filters": {"discretion": {"()": Discretion}},
        "handlers": {
            "stderr": {
                "()": Handler,
                "formatter": "structured",
                "stream": "ext://sys.stderr",
            }
        },
        "root": {"level": level, "handlers": ["stderr"]},
        "loggers": _loggers(level),
    }


def _loggers(level: str) -> dict[str, Any]:
    """The levels of the loggers of gunicorn, Flask and the libraries."""
    return {
        "gunicorn.error": {
            # At DEBUG, it would print every path.
            "level": max(logging.INFO, logging.getLevelName(level)),
            "handlers": [],
            "filters": ["discretion"],
            "propagate": True,
        },
        # Flask logs here the error of an after-request function. api/problems.py logs it too.
        "otp_gateway.app": {"filters": ["discretion"], "propagate": True},
        "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
        **{name: {"level": "CRITICAL", "propagate": True} for name in QUIET},
    }


def configure(level: str) -> None:
    """Set up the logging of this process."""
    logging.config.dictConfig(configuration(level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            stamp,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger. Pass values as keyword arguments, and never put them into the text of the event."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
