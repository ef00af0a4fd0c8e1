"""An HTTP session that follows no redirect, and that ignores proxies and passwords of the environment."""

from __future__ import annotations

import requests


class PlainSession(requests.Session):
    """A session for a server that the settings or the operator have named.

    It uses neither ``~/.netrc`` nor a proxy of the environment.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002  # requests gives it
        """Return no target. To find one, requests would read the whole body, and parse the URL in the reply.

        With no target, requests follows no redirect, so callers do not need ``allow_redirects=False``.
        """
        return
