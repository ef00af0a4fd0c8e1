"""gunicorn's configuration. The settings are checked here, so that a fault ends the process at once."""

import math
import os
import shutil
import sys
import tempfile

from otp_gateway import log
from otp_gateway.metrics import multiprocess
from otp_gateway.settings import Settings, SettingsError

try:
    settings = Settings.load()
except SettingsError as error:
    sys.exit(str(error))

bind = f"0.0.0.0:{settings.port}"
worker_class = "gthread"
# The embedded store lives in one process. Threads are many because a slow SMS provider holds one per send.
workers = 1 if settings.embedded else settings.web_concurrency
threads = 32
# A stopping worker finishes the sends that are under way.
graceful_timeout = math.ceil(settings.sms_timeout) + 10
timeout = 60
keepalive = 5
logconfig_dict = log.configuration(settings.log_level)
# No control socket in the home directory: nobody here speaks to it, and two gateways would share it.
control_socket_disable = True


def on_starting(server):  # type: ignore[no-untyped-def]  # gunicorn's Arbiter has no types
    """Say once, not once a worker, what an operator should know."""
    for warning in settings.warnings():
        server.log.warning(warning)
    server.log.info("Odds of a guess into one phone within 24 h: at most %s", settings.guess_probability)


def when_ready(server):  # type: ignore[no-untyped-def]  # as above
    """Make room for the workers' metrics: when the port is ours, for a start that fails clears nothing."""
    directory = os.environ[multiprocess.DIRECTORY] = tempfile.mkdtemp(prefix="otp-gateway-")
    # With gunicorn's --user the workers are not who we are.
    os.chown(directory, server.cfg.uid, server.cfg.gid)


def pre_fork(server, worker):  # type: ignore[no-untyped-def]  # as above
    """Give the new worker a place among the metrics that no living one has."""
    worker.slot = multiprocess.free_slot(other.slot for other in server.WORKERS.values())


def post_fork(server, worker):  # type: ignore[no-untyped-def]  # as above
    """Count in the worker's own place."""
    multiprocess.join(os.environ[multiprocess.DIRECTORY], worker.slot)


def post_worker_init(worker):  # type: ignore[no-untyped-def]  # as above
    """Tell the metrics of the threads; start what runs beside the requests."""
    # A WSGI module of the operator's own may wrap the app.
    extensions = getattr(worker.wsgi, "extensions", {})
    if "metrics" in extensions:
        extensions["metrics"].tell_threads(worker.cfg.threads)
    watch = extensions.get("credit_watch")
    if watch:
        watch.start()


def child_exit(server, worker):  # type: ignore[no-untyped-def]  # as above
    """The worker does nothing any more."""
    multiprocess.leave(os.environ[multiprocess.DIRECTORY], worker.slot)


def on_exit(server):  # type: ignore[no-untyped-def]  # as above
    """Leave nothing behind."""
    shutil.rmtree(os.environ.get(multiprocess.DIRECTORY, ""), ignore_errors=True)
