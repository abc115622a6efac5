"""From the command to the end of the session: port, temporary folder, server, cleaning up."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from superres.errors import UserError
from superres.files import Lock
from superres.serve.app import make_app
from superres.serve.limits import Limits
from superres.serve.offers import Offers
from superres.serve.work import Work

_PREFIX = "superres-serve-"
_LOCK = "lock"


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
        UserError: the address cannot be had, or ``keep`` cannot be written.
        KeyboardInterrupt: it was ended by Ctrl-C; after cleaning up.
    """
    with listening(host, port) as sock, _folder() as folder:
        if keep is not None:
            _check_keep(keep)
        address = _address(host, sock.getsockname()[1])
        work = Work(offers, folder, limits, keep)
        names, addresses = _names(host)
        app = make_app(work, secrets.token_urlsafe(24), names, addresses)
        config = uvicorn.Config(
            app,
            log_level="error",
            access_log=False,
            lifespan="off",
            http="h11",
            ws="none",
            proxy_headers=False,
            server_header=False,
            limit_concurrency=64,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=2,
        )
        logging.getLogger("uvicorn.error").addFilter(_of_interest)
        server = uvicorn.Server(config)
        try:
            work.start()
            with _hangup_ends(server):
                say(f"superres page: {address}")
                if open_browser:
                    threading.Timer(0.5, _open, (address, say)).start()
                server.run(sockets=[sock])
        finally:
            work.stop()


def _of_interest(record: logging.LogRecord) -> bool:
    """Not that an upload was under way when the session was ended: that is no fault."""
    if record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError):
        return False
    return "graceful shutdown exceeded" not in str(record.msg)


@contextlib.contextmanager
def _hangup_ends(server: uvicorn.Server) -> Iterator[None]:
    """SIGHUP ends the server, as its own handlers let SIGINT and SIGTERM, and is raised then.

    A handler that raises would not do: most of the time it interrupts a request, and asyncio and
    uvicorn keep whatever a request raises.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # as uvicorn does: signals are others' affair
        return
    came: list[int] = []

    def end(number: int, frame: object) -> None:
        came.append(number)
        server.should_exit = True

    before = signal.signal(signal.SIGHUP, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
    if came:
        signal.raise_signal(came[0])


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens there.

    Raises:
        UserError: it cannot be had; says why, and what to do.
    """
    try:
        family, *_, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError, OverflowError) as error:
        raise UserError(f"--host {host}: no such address ({error}); use 127.0.0.1") from error
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(place)
            sock.listen(64)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UserError(
                    f"port {port} on {host} is in use, perhaps by another superres serve; end "
                    "that one, or use --port 0 for any free port"
                ) from error
            if error.errno in (errno.EACCES, errno.EPERM):
                raise UserError(
                    f"port {port} may not be used by an ordinary user; use --port 0 or one above "
                    "1023"
                ) from error
            raise UserError(
                f"{host} port {port} cannot be used ({error.strerror}); use --host 127.0.0.1"
            ) from error
        yield sock


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A private temporary folder, removed at the end; what a killed session left goes, too."""
    _sweep()
    try:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    except OSError as error:
        raise UserError(
            f"no temporary folder can be made ({error.strerror or error}); set TMPDIR to a folder "
            "that can be written"
        ) from error
    try:
        with Lock(folder / _LOCK):  # held while this process lives
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    """Remove folders whose session was killed: nobody holds their lock."""
    for folder in Path(tempfile.gettempdir()).glob(_PREFIX + "*"):
        with contextlib.suppress(OSError, UserError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            if (folder / _LOCK).exists():
                with Lock(folder / _LOCK):
                    shutil.rmtree(folder, ignore_errors=True)


def _check_keep(keep: Path) -> None:
    try:
        keep.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=keep, prefix=".superres-"):
            pass
    except OSError as error:
        raise UserError(f"--keep {keep}: cannot be written ({error.strerror or error})") from error


def _names(host: str) -> tuple[list[str], bool]:
    """(names that Host may say, whether any IP address may)."""
    names = ["localhost", "127.0.0.1", "::1", host]
    if is_local(host):
        return names, False
    own = socket.gethostname()
    return [*names, own, own.partition(".")[0], own.partition(".")[0] + ".local"], True


def is_local(host: str) -> bool:
    """Whether only this computer can reach what listens there."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _address(host: str, port: int) -> str:
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}/"
    if number.is_unspecified:
        return f"http://127.0.0.1:{port}/"
    return f"http://[{host}]:{port}/" if number.version == 6 else f"http://{host}:{port}/"


def _open(address: str, say: Callable[[str], object]) -> None:
    if not webbrowser.open(address):
        say("no browser could be opened; open the address yourself")
