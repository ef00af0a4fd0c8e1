"""The gateway under gunicorn: the configuration, the hooks, and the application that a worker loads."""

from __future__ import annotations

import atexit
import math
import os
import sys
from contextlib import suppress
from typing import Any

from flask import Flask

from otp_gateway import log
from otp_gateway.app import create_app
from otp_gateway.gunicorn_worker import limits
from otp_gateway.metrics import multiprocess
from otp_gateway.metrics.folder import Folder, temporary_directory
from otp_gateway.settings import Settings, SettingsError


def application() -> Flask:
    """The WSGI application. Invalid settings end the process, with the reason as its last line."""
    try:
        return create_app()
    except SettingsError as error:
        sys.exit(str(error))


def configuration() -> dict[str, Any]:
    """Make gunicorn's settings from ours. Invalid settings end the process before it opens the port.

    gunicorn.conf.py calls this. gunicorn must not import this module as its configuration ("python:…"):
    at a reload it runs a file again, but it does not import a module again.
    """
    try:
        settings = Settings.load()
    except SettingsError as error:
        sys.exit(str(error))

    def on_starting(server: Any) -> None:
        """Log the warnings in the master, so that they are logged once. Choose the folder of the metrics."""
        for warning in settings.warnings():
            server.log.warning(warning)
        # With gunicorn's --user, the workers are another user than this process.
        server.metrics_folder = Folder(settings.metrics_dir, server.cfg.uid, server.cfg.gid)
        probability = settings.guess_probability
        server.log.info("Probability of a right guess within 24 h for one phone: at most %s", probability)

    return {
        # The application, if gunicorn's command line names none.
        "wsgi_app": "otp_gateway.server:application()",
        "bind": f"0.0.0.0:{settings.port}",
        **limits.configuration(settings.trusted_proxies),
        # The embedded store exists only in one process.
        "workers": 1 if settings.embedded else settings.web_concurrency,
        "threads": settings.threads,
        # A stopping worker finishes the sends that are in progress.
        "graceful_timeout": math.ceil(settings.sms_timeout) + 10,
        "timeout": 60,
        "logconfig_dict": log.configuration(settings.log_level),
        # No control socket in the home directory: no tool of ours uses it, and two gateways would share it.
        "control_socket_disable": True,
        # gunicorn's default, None, fails if the file systems of all temporary directories are full.
        "worker_tmp_dir": temporary_directory(),
        "on_starting": on_starting,
        "when_ready": when_ready,
        "pre_fork": pre_fork,
        "post_fork": post_fork,
        "post_worker_init": post_worker_init,
        "worker_exit": worker_exit,
        "child_exit": child_exit,
        "on_exit": on_exit,
    }


# gunicorn passes its Arbiter and its Worker, which have no types.


def when_ready(server: Any) -> None:
    """Make the folder of the workers' metrics. The port is open now, so the start has succeeded."""
    server.metrics_folder.remove_unused()
    try:
        server.metrics_folder.prepare()
    except OSError as error:
        server.log.warning("The workers do not share their metrics, a scrape shows one of them: %s", error)


def pre_fork(server: Any, worker: Any) -> None:
    """Give the new worker a slot among the metrics that no running worker has."""
    worker.slot = multiprocess.free_slot(other.slot for other in server.WORKERS.values())
    # A cleanup can have removed the folder. If it cannot be made again, the worker logs this.
    with suppress(OSError):
        server.metrics_folder.prepare()


def post_fork(server: Any, worker: Any) -> None:
    """Count in the worker's own slot."""
    multiprocess.join(server.metrics_folder, worker.slot)


def post_worker_init(worker: Any) -> None:
    """Report the number of threads to metrics and sends. Start the work that no request waits for."""
    # A WSGI module of the operator's own can wrap the app.
    extensions = getattr(worker.wsgi, "extensions", {})
    if "metrics" in extensions:
        extensions["metrics"].set_threads(worker.cfg.threads)
    if "send_slots" in extensions:
        # An operator may have set another number than ours.
        extensions["send_slots"].set_threads(worker.cfg.threads)
    watch = extensions.get("provider_watch")
    if watch:
        watch.start()


def worker_exit(server: Any, worker: Any) -> None:
    """End a worker that must stop at once, after the functions that are registered for the exit.

    Python itself would wait for the threads, and some seconds pass if Redis does not answer. The master would
    kill the worker, and log that the memory was perhaps full.
    """
    del server
    if getattr(worker, "quits", False):
        atexit._run_exitfuncs()  # noqa: SLF001  # os._exit does not call them
        os._exit(0)


def child_exit(server: Any, worker: Any) -> None:
    """The worker has ended: its gauges no longer count."""
    multiprocess.leave(server.metrics_folder, worker.slot)


def on_exit(server: Any) -> None:
    """Remove the workers' metrics."""
    server.metrics_folder.remove()
