"""Programs that cannot reach the network: attempts fail, and are written down.

`cut_off` prepares an environment in which every Python process, and each that it starts, refuses to
look up names and to connect or send anywhere but to this machine. Where the system allows it,
`without_network` puts them into a network of their own as well, for code that is not Python's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

# In a sitecustomize, so that it comes before everything else, in child processes too. An audit hook
# sees all of Python's own sockets, however they were imported, and cannot be taken off.
_HOOK = """
import os, sys

def _watch(event, args):
    if not event.startswith("socket."):
        return
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = args[-1]
        if not isinstance(address, tuple):
            return  # a Unix socket, or a message on a connection that exists
        host = address[0]
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        host = args[0]
    else:
        return
    if host in (None, "", b"", "localhost", "::1") or str(host).startswith(("127.", "b'127.")):
        return
    with open(os.environ["SUPERRES_TEST_NETWORK_LOG"], "a") as log:
        log.write(f"{event} {host!r} {sys.argv}\\n")
    raise OSError(f"the network is cut off: {event} {host!r}")

sys.addaudithook(_watch)
"""


def cut_off(folder: Path) -> dict[str, str]:
    """The variables of an environment without a network; ``folder`` holds its files."""
    site = folder / "site"
    site.mkdir(parents=True)
    (site / "sitecustomize.py").write_text(_HOOK, encoding="utf-8")
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    home = {"HOME": str(folder), "SUPERRES_HOME": str(folder / "cache")}
    log = {"SUPERRES_TEST_NETWORK_LOG": str(folder / "log.txt")}
    # Some libraries report to their makers unless they see that they run in CI.
    kept = {k: v for k, v in os.environ.items() if k not in ("CI", "TF_BUILD", "JENKINS_URL")}
    return {**kept, "PYTHONPATH": path, **home, **log}


def attempts(folder: Path) -> list[str]:
    """What was tried, a line each."""
    log = folder / "log.txt"
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


def without_network(command: list[str]) -> list[str]:
    """``command`` in a network of its own that has nothing in it; unchanged where none can be made.

    Not even the loopback device is up in there.
    """
    unshare = shutil.which("unshare")
    if unshare is None:
        return command
    prefix = [unshare, "--user", "--map-current-user", "--net"]
    made = subprocess.run([*prefix, "true"], capture_output=True)
    return [*prefix, *command] if made.returncode == 0 else command
