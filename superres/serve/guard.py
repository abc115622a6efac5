"""Who may ask: this computer's own browser, and no page but ours; headers for every answer."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_HEADER = "x-superres-token"
_METHODS = ("GET", "HEAD", "POST", "DELETE")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware that refuses what our page would not send.

    - The Host header must name this computer: a foreign name that was made to resolve to
      127.0.0.1 (DNS rebinding) is refused.
    - What changes anything needs the session's token, which only the page has, and an Origin that
      is ours: another site's page cannot upload, cancel or delete.
    - Nothing but the page itself is given to requests that a browser marks as coming from another
      site.

    Args:
        names: host names that are this computer's.
        addresses: any IP address will do as Host (a rebound name cannot be one).
        token: of this session.
        policy: the page's Content-Security-Policy.
    """

    def __init__(
        self, app: ASGIApp, names: Iterable[str], addresses: bool, token: str, policy: str
    ) -> None:
        self.app, self.token, self.policy = app, token, policy
        self.names, self.addresses = {name.lower() for name in names}, addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers["Content-Security-Policy"] = self.policy
            await send(message)

        headers = Headers(scope=scope)
        refusal = self._refusal(scope["method"], scope["path"], headers)
        if refusal is not None:
            status, why = refusal
            await JSONResponse({"error": why}, status)(scope, receive, send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)

    def _refusal(self, method: str, path: str, headers: Headers) -> tuple[int, str] | None:
        if method not in _METHODS:
            return 405, f"{method} is not answered here"
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return 403, "this page is for this computer only; open the address that was printed"
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"http://{hosts[0].lower()}":
            return 403, "requests from other pages are refused"
        if path != "/" and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return 403, "requests from other pages are refused"
        if method in ("POST", "DELETE"):
            token = headers.get(TOKEN_HEADER, "")
            if not secrets.compare_digest(token.encode(), self.token.encode()):
                return 403, "superres serve was started anew since this page was loaded: reload it"
        return None

    def _is_ours(self, host: str) -> bool:
        name = host.partition(":")[0]
        if host.startswith("["):
            name = host[1:].partition("]")[0]
        if name.lower() in self.names:
            return True
        try:
            return ipaddress.ip_address(name) is not None and self.addresses
        except ValueError:
            return False
