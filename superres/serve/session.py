"""From the command to the end of the session: port, temporary folder, server, cleaning up."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from superres.errors import UserError
from superres.serve.app import make_app
from superres.serve.offers import Offers
from superres.serve.uploads import Limits
from superres.serve.work import Work


def run_session(
    offers: Offers,
    limits: Limits,
    host: str = "127.0.0.1",
    port: int = 8765,
    keep: Path | None = None,
    open_browser: bool = False,
    say: Callable[[str], object] = print,
) -> None:
    """Serve the page until a signal ends it; uploads and results are removed then.

    Args:
        host, port: where to listen; port 0 is any free one.
        keep: a folder that results are copied to.
        say: told the address when it is ready.

    Raises:
        UserError: the address is not available, or ``keep`` cannot be written.
        KeyboardInterrupt: it was ended by Ctrl-C or SIGTERM; after cleaning up.
    """
    if keep is not None:
        try:
            keep.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=keep).close()
        except OSError as error:
            why = error.strerror or error
            raise UserError(f"--keep {keep}: cannot be written ({why})") from error
    with (
        listening(host, port) as sock,
        tempfile.TemporaryDirectory(prefix="superres-serve-", ignore_cleanup_errors=True) as folder,
    ):
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(
            host, f"[{host}]" if ":" in host else host
        )
        address = f"http://{shown}:{sock.getsockname()[1]}/"
        work = Work(offers, Path(folder), limits, keep)
        own = socket.gethostname().lower()
        names = {"localhost", "127.0.0.1", "::1", host.lower()}
        if not is_local(host):
            names |= {own, own.partition(".")[0], own.partition(".")[0] + ".local"}
        server = uvicorn.Server(
            uvicorn.Config(
                make_app(work, names, addresses=not is_local(host)),
                log_level="critical",  # what fails is logged by the app
                lifespan="off",
                http=_HeadersInTime,
                ws="none",
                proxy_headers=False,
                server_header=False,
                limit_concurrency=512,  # connections, those that say nothing among them
                timeout_graceful_shutdown=2,
            )
        )
        try:
            say(f"superres page: {address}")
            if open_browser:
                threading.Timer(0.5, _open, (address, say)).start()
            server.run(sockets=[sock])
        finally:
            work.stop()


class _HeadersInTime(H11Protocol):
    """Closes a connection that has begun no request in time, else such ones would use all up."""

    def connection_made(self, *transport: object) -> None:
        super().connection_made(*transport)
        self.loop.call_later(10, lambda: self.cycle or self.transport.close())


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens there.

    Raises:
        UserError: it is not available; says why, and what to do.
    """
    if not 0 <= port <= 65535:
        raise UserError(f"port {port} does not exist; ports go from 0 (any free one) to 65535")
    try:
        sock = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        advice = "perhaps another superres serve has it; use --port 0, or another --host"
        raise UserError(f"port {port} on {host} is not available ({why}), {advice}") from error
    with sock:
        yield sock


def is_local(host: str) -> bool:
    """Whether only this computer can reach what listens there."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _open(address: str, say: Callable[[str], object]) -> None:
    if not webbrowser.open(address):
        say("no browser could be opened; open the address yourself")
