"""HTTP servers on 127.0.0.1 for the tests of downloads."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hub(BaseHTTPRequestHandler):
    """As much of the Hugging Face hub as huggingface_hub needs to list, download and commit.

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
            return self.json(entries)
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/\w+/([^?]+)", self.path)
        repo, name = (found[1], found[2]) if found else ("", self.path.lstrip("/"))
        data = self.server.files.get(repo, {}).get(name)
        if data is None:
            missing = "EntryNotFound" if repo in self.server.files else "RepoNotFound"
            return self.answer(404, b"", {"X-Error-Code": missing})
        digest = hashlib.sha256(data).hexdigest()
        headers = {"ETag": f'"{digest}"', "X-Repo-Commit": self.commit, "Accept-Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if asked:
            start = int(asked[1])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            return self.answer(206, data[start:], headers)
        return self.answer(200, data, headers)

    def do_POST(self):
        size = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(size)
        if self.headers.get("Authorization") != "Bearer hf_test":
            return self.answer(401, b'{"error": "no token"}')
        if self.path == "/api/validate-yaml":
            return self.json({"errors": [], "warnings": []})
        if self.path == "/api/repos/create":
            wanted = json.loads(body)
            repo = "/".join(filter(None, (wanted.get("organization"), wanted["name"])))
            self.server.files.setdefault(repo, {})
            return self.json({"url": f"http://127.0.0.1/{repo}", "name": repo})
        repo, action = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(\w+)/main", self.path).groups()
        if action == "preupload":
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                for f in json.loads(body)["files"]
            ]
            return self.json({"files": files})
        for line in body.decode().splitlines():
            item = json.loads(line)
            if item["key"] == "file":
                value = item["value"]
                self.server.files[repo][value["path"]] = base64.b64decode(value["content"])
        return self.json({"commitUrl": f"http://127.0.0.1/{repo}", "commitOid": self.commit})

    def json(self, content):
        self.answer(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

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
