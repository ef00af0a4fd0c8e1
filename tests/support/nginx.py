"""nginx as a process of the tests, with the site file of deploy/ and the minimal configuration around it."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from requests.adapters import HTTPAdapter

from tests.support.gateway import ROOT
from tests.support.programs import require_program
from tests.support.redis_server import wait_until
from tests.support.servers import free_port

SITE = ROOT / "deploy" / "nginx.conf"
NAME = "otp.example.com"
# An old text, a new one, and how often the old one is in the file.
Replacement = tuple[str, str, int]
# As Debian's nginx.conf: the settings that are in effect before a site file.
_MAIN = """
daemon off;
{user}
worker_processes {workers};
pid {directory}/nginx.pid;
error_log {directory}/error.log notice;
events {{ worker_connections 768; }}
http {{
    default_type application/octet-stream;
    ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;
    access_log {directory}/access.log;
    gzip on;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/site.conf;
}}
"""


class Nginx:
    """The site of deploy/nginx.conf in front of gateways on these two ports; a context manager.

    It is https://localhost with the port `https_port`; `http_port` takes the place of port 80. `before`:
    lines that are added before those of the file.
    """

    def __init__(self, gateways: Sequence[int], *, workers: int = 1, before: str = "") -> None:
        self.http_port, self.https_port = free_port(), free_port()
        self._workers = workers
        self._binary = require_program("nginx")
        self.directory = Path(tempfile.mkdtemp(prefix="nginx-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._certify()
        (self.directory / "site.conf").write_text(f"{before}\n{self._site(*gateways)}", encoding="utf-8")

    @property
    def origin(self) -> str:
        """The origin, as a browser sends it."""
        return f"https://localhost:{self.https_port}"

    def session(self, source: str = "127.0.0.1") -> requests.Session:
        """A client at this loopback address that trusts the site's certificate."""
        session = requests.Session()
        session.trust_env = False
        session.verify = str(self.directory / "fullchain.pem")
        session.mount("https://", _From(source))
        return session

    def connect(self) -> ssl.SSLSocket:
        """A TLS connection for bytes that no HTTP library sends; the caller closes it."""
        context = ssl.create_default_context(cafile=str(self.directory / "fullchain.pem"))
        plain = socket.create_connection(("127.0.0.1", self.https_port), timeout=15)
        return context.wrap_socket(plain, server_hostname="localhost")

    def raw(self, request: str) -> tuple[int, bytes]:
        """Send a request, whose lines may end as Python's do; return the status and the complete reply."""
        with self.connect() as line:
            line.sendall(request.replace("\n", "\r\n").encode())
            reply = b"".join(iter(lambda: line.recv(65536), b""))
        return int(reply.split()[1]), reply

    def start(self) -> None:
        """Start it and wait until it accepts connections; RuntimeError with its output if it does not."""
        configuration = self.directory / "nginx.conf"
        # Only root may name a user. Without a name, root's workers would run as a user who cannot read this.
        user = f"user {getpass.getuser()} root;" if os.geteuid() == 0 else ""
        configuration.write_text(
            _MAIN.format(directory=self.directory, user=user, workers=self._workers), encoding="utf-8"
        )
        command = [self._binary, "-p", str(self.directory), "-c", str(configuration)]
        tested = subprocess.run(
            [*command, "-t", "-q"], capture_output=True, text=True, check=False, timeout=20
        )
        # A warning is a fault, too.
        if tested.returncode != 0 or tested.stderr:
            raise RuntimeError(tested.stderr)
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        wait_until(self._takes_connections, "nginx")

    def stop(self) -> None:
        """Stop it and remove its files."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def error_log(self) -> str:
        """The log of nginx's errors and warnings."""
        return (self.directory / "error.log").read_text(encoding="utf-8")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _site(self, first: int, second: int) -> str:
        return _replaced(
            SITE.read_text(encoding="utf-8"),
            [
                ("server 127.0.0.1:8001 ", f"server 127.0.0.1:{first} ", 1),
                ("server 127.0.0.1:8002 ", f"server 127.0.0.1:{second} ", 1),
                *self._places(NAME),
            ],
        )

    def _places(self, name: str) -> list[Replacement]:
        """Ports, files and names of this machine, for a site with this name."""
        return [
            ("listen 80;", f"listen 127.0.0.1:{self.http_port};", 1),
            ("listen 443 ssl;", f"listen 127.0.0.1:{self.https_port} ssl;", 1),
            ("listen [::]:80;", _listen_six(self.http_port, ""), 1),
            ("listen [::]:443 ssl;", _listen_six(self.https_port, " ssl"), 1),
            (f"/etc/letsencrypt/live/{name}", str(self.directory), 2),
            (f"server_name {name};", "server_name localhost;", 2),
            (f"https://{name}$request_uri", "https://localhost$request_uri", 1),
            ("root /var/www/html;", f"root {self.directory};", 1),
        ]

    def _certify(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.directory / "privkey.pem").write_bytes(private)
        (self.directory / "fullchain.pem").write_bytes(certificate.public_bytes(Encoding.PEM))

    def _takes_connections(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"nginx ended:\n{self.error_log()}")
        try:
            with socket.create_connection(("127.0.0.1", self.https_port), timeout=5):
                return True
        except OSError:
            return False


class AppNginx(Nginx):
    """The site of deploy/nginx-app.conf: an app on one port, and gateways on two ports."""

    def __init__(self, app: int, gateways: Sequence[int]) -> None:
        self._app = app
        super().__init__(gateways)

    def _site(self, first: int, second: int) -> str:
        text = (ROOT / "deploy" / "nginx-app.conf").read_text(encoding="utf-8")
        return _replaced(
            text,
            [
                ("server 127.0.0.1:8001 ", f"server 127.0.0.1:{first} ", 1),
                ("server 127.0.0.1:8002 ", f"server 127.0.0.1:{second} ", 1),
                ("server 127.0.0.1:3000;", f"server 127.0.0.1:{self._app};", 1),
                *self._places("app.example.com"),
            ],
        )


class _From(HTTPAdapter):
    """Connects from one address of the loopback network, so that a server counts it as a separate client."""

    def __init__(self, source: str) -> None:
        self._source = source
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, source_address=(self._source, 0), **options)


def _replaced(text: str, replacements: Sequence[Replacement]) -> str:
    for old, new, times in replacements:
        assert text.count(old) == times, old
        text = text.replace(old, new)
    return text


def _listen_six(port: int, options: str) -> str:
    """The directive to listen on IPv6; empty if the machine has no IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return ""
    return f"listen [::1]:{port}{options};"
