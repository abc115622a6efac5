"""HTTP servers on 127.0.0.1 for the tests of downloads."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hub(BaseHTTPRequestHandler):
    """As much of the Hugging Face hub as huggingface_hub needs to list and download.

    ``server.files`` maps repository -> name -> bytes.
    """

    protocol_version = "HTTP/1.1"
    commit = "0123456789abcdef0123456789abcdef01234567"

    def log_message(self, *args):
        """Nothing."""

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        address = self.path.partition("?")[0]
        listing = re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/\w+", address)
        if listing:
            files = self.server.files.get(listing[1])
            if files is None:
                return self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            entries = [
                {"type": "file", "path": name, "size": len(data), "oid": "0" * 40}
                for name, data in files.items()
            ]
            return self.answer(200, json.dumps(entries).encode())
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/\w+/([^?]+)", self.path)
        repo, name = (found[1], found[2]) if found else ("", self.path.lstrip("/"))
        data = self.server.files.get(repo, {}).get(name)
        if data is None:
            missing = "EntryNotFound" if repo in self.server.files else "RepoNotFound"
            return self.answer(404, b"", {"X-Error-Code": missing})
        digest = hashlib.sha256(data).hexdigest()
        headers = {"ETag": f'"{digest}"', "X-Repo-Commit": self.commit}
        return self.answer(200, data, headers)

    def answer(self, status, data, headers=()):
        self.send_response(status)
        for key, value in dict(headers).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@contextlib.contextmanager
def hub(files: dict[str, dict[str, bytes]]) -> Iterator[ThreadingHTTPServer]:
    """A server with these repositories; ``server.url`` is its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    server.files = files
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
