"""The page's server: one page, jobs by their ids, nothing else."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import json
import logging
import re
import secrets
import zipfile
from pathlib import Path

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from superres.serve.uploads import KINDS, Refused, check_upload, safe_name
from superres.serve.work import Job, Work, free_name
from superres.upscaling.writing import FORMATS, SUFFIX_FORMATS
from superres.viewer import FOLDER as VIEWER

logger = logging.getLogger("superres")

_TEMPLATES = Path(__file__).parent / "templates"
_SAMPLES = sorted(path.name for path in _TEMPLATES.glob("*.jpg"))
_PARTS = {name: _TEMPLATES / name for name in ("page.css", "page.js", *_SAMPLES)}
_PARTS |= {name: VIEWER / name for name in ("viewer.css", "viewer.js")}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware that refuses what our page would not send, with headers for every answer.

    - The Host header must name this computer: a foreign name that was made to resolve to
      127.0.0.1 (DNS rebinding) is refused.
    - What changes anything needs the session's token, which only the page has: another site's
      page cannot upload, cancel or delete.

    Args:
        names: host names that are this computer's.
        addresses: any IP address will do as Host (a rebound name cannot be one).
        token: of this session.
    """

    def __init__(self, app: ASGIApp, names: set[str], addresses: bool, token: str) -> None:
        self.app, self.names, self.addresses, self.token = app, names, addresses, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        headers, app = Headers(scope=scope), self.app
        token = headers.get("x-superres-token", "").encode()
        if not self._is_ours(headers.get("host", "")):
            why = "this page is for this computer only; open the address that was printed"
            app = JSONResponse({"error": why}, 403)
        elif scope["method"] not in ("GET", "HEAD") and not secrets.compare_digest(
            token, self.token.encode()
        ):
            why = "the server was restarted; reload the page"
            app = JSONResponse({"error": why}, 403)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await app(scope, receive, send_with_headers)

    def _is_ours(self, host: str) -> bool:
        name = re.sub(r":\d+$", "", host.lower()).strip("[]")
        try:
            return name in self.names or (self.addresses and bool(ipaddress.ip_address(name)))
        except ValueError:
            return False


def make_app(work: Work, names: set[str], addresses: bool) -> Starlette:
    """The application.

    Args:
        work: the queue.
        names, addresses: what Host may say, see `Guard`.
    """
    token = secrets.token_urlsafe(24)
    page = _page(work, token)

    def job_of(request: Request) -> Job:
        job = work.jobs.get(request.path_params["id"])
        if job is None:
            raise HTTPException(404)
        return job

    async def show_page(request: Request) -> Response:
        return HTMLResponse(page)

    async def part(request: Request) -> Response:
        return FileResponse(_PARTS[request.url.path.strip("/")])

    async def add(request: Request) -> Response:
        try:
            job = await _receive(request, work)
        except Refused as error:
            # What is left of a body that was refused is not read: the connection ends.
            return JSONResponse({"error": str(error)}, error.status, {"Connection": "close"})
        return JSONResponse(job.as_dict(work.ahead(job)), 201)

    async def show(request: Request) -> Response:
        job = job_of(request)
        return JSONResponse(job.as_dict(work.ahead(job)))

    async def remove(request: Request) -> Response:
        work.remove(job_of(request))
        return Response(status_code=204)

    async def file(request: Request) -> Response:
        job, which = job_of(request), request.path_params["which"]
        if job.state != "done" or which not in ("before", "after", "result"):
            raise HTTPException(404)
        if which == "result":
            kind = f"image/{SUFFIX_FORMATS[job.result.suffix]}"
            return FileResponse(job.result, media_type=kind, filename=job.result_name)
        return FileResponse(job.folder / f"{which}.png")

    async def together(request: Request) -> Response:
        jobs = [work.jobs.get(identity) for identity in request.query_params.getlist("id")]
        files = [(job.result_name, job.result) for job in jobs if job and job.state == "done"]
        if not files:
            raise HTTPException(404)
        path = work.folder / f"{secrets.token_hex(8)}.zip"
        await run_in_threadpool(_zip, path, files)
        remove = BackgroundTask(path.unlink, missing_ok=True)
        return FileResponse(path, filename="superres.zip", background=remove)

    async def nothing(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        if status == 500:
            logger.error("a request could not be answered", exc_info=error)
        words = {404: "there is nothing here (any more)", 405: "that cannot be done here"}
        return JSONResponse({"error": words.get(status, "superres itself failed")}, status)

    return Starlette(
        routes=[
            Route("/", show_page),
            *(Route(f"/{name}", part) for name in _PARTS),
            Route("/all.zip", together),
            Route("/jobs", add, methods=["POST"]),
            Route("/jobs/{id:str}", show),
            Route("/jobs/{id:str}", remove, methods=["DELETE"]),
            Route("/jobs/{id:str}/{which:str}", file),
        ],
        middleware=[Middleware(Guard, names=names, addresses=addresses, token=token)],
        exception_handlers={HTTPException: nothing, Exception: nothing},
    )


def _page(work: Work, token: str) -> str:
    """The HTML, with what the session offers in it."""
    config = {
        "token": token,
        "models": [
            {"name": o.name, "label": o.label, "scales": o.choices, "own": o.scales}
            for o in work.offers
        ],
        "samples": _SAMPLES,
        "formats": list(FORMATS),
        "kinds": KINDS,
        "maxBytes": work.limits.upload_bytes,
        "maxPixels": work.limits.pixels,
        "finished": work.limits.finished,
        "kept": work.keep is not None,
    }
    # A name with </script> in it must not end the element that it stands in.
    data = json.dumps(config).replace("<", "\\u003c")
    return (_TEMPLATES / "page.html").read_text(encoding="utf-8").replace("{{ config }}", data)


def _zip(path: Path, files: list[tuple[str, Path]]) -> None:
    """Results in one archive, as they are; a name that is taken gets a number."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, file in files:
            archive.write(file, free_name(name, lambda other: other in archive.namelist()))


async def _receive(request: Request, work: Work) -> Job:
    """The body of the request as a new job; what was written is removed if it is refused."""
    query, limits = request.query_params, work.limits
    offer = work.offers.get(query.get("model", ""))
    if offer is None:
        raise Refused("there is no such model on this page; reload it", 422)
    if query.get("scale") not in {str(scale) for scale in offer.choices}:
        raise Refused(f"{offer.name} is offered for ×{', ×'.join(map(str, offer.choices))}", 422)
    format = query.get("format") or None
    if format is not None and format not in FORMATS:
        raise Refused(f"the format must be one of {', '.join(FORMATS)}", 422)
    name = safe_name(query.get("name", ""))
    job = work.new(name, offer, int(query["scale"]), format, query.get("ensemble") == "1")
    source = job.folder / "source"
    try:
        async with asyncio.timeout(limits.upload_seconds):
            size = int(request.headers.get("content-length", 0))
            with source.open("xb") as file:
                async for chunk in request.stream():
                    size = max(size, file.tell() + len(chunk))
                    if size > limits.upload_bytes:
                        most = f"{limits.upload_bytes / 2**20:.3g} MiB that this page takes"
                        why = f"the file is larger than the {most} (--max-upload raises it)"
                        raise Refused(f"{name}: {why}", 413)
                    file.write(chunk)
        await run_in_threadpool(check_upload, source, name, job.scale, limits)
    except BaseException as error:
        work.remove(job)
        if isinstance(error, TimeoutError | ClientDisconnect):
            raise Refused(f"{name}: the upload took too long or was broken off", 408) from None
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Refused(f"{name}: the disk is full", 507) from None
        raise
    work.put(job)
    return job
