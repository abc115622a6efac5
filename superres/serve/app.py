"""The page's server: one page, jobs by their ids, nothing else."""

from __future__ import annotations

import asyncio
import errno
import shutil

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from superres.errors import UserError
from superres.serve.guard import Guard
from superres.serve.jobs import Job
from superres.serve.page import policy, render_page
from superres.serve.uploads import Refused, check_upload, safe_name
from superres.serve.work import Work
from superres.upscaling.writing import FORMATS

_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".bmp": "image/bmp",
    ".ppm": "image/x-portable-pixmap",
}


def make_app(work: Work, token: str, names: list[str], addresses: bool) -> Starlette:
    """The application.

    Args:
        work: the queue.
        token: what the page has to send with every change.
        names, addresses: what Host may say, see :class:`superres.serve.guard.Guard`.
    """
    page = render_page(work, token)

    async def show_page(request: Request) -> Response:
        return HTMLResponse(page)

    async def add(request: Request) -> Response:
        try:
            with work.place():
                job = await _receive(request, work)
                work.put(job)
        except Refused as error:
            # What is left of a body that was refused is not read: the connection ends.
            return JSONResponse({"error": str(error)}, error.status, {"Connection": "close"})
        return JSONResponse(job.as_dict(work.ahead(job)), 201)

    async def show(request: Request) -> Response:
        job = _job(request, work)
        return JSONResponse(job.as_dict(work.ahead(job)))

    async def remove(request: Request) -> Response:
        await run_in_threadpool(work.remove, _job(request, work))
        return Response(status_code=204)

    async def view(request: Request) -> Response:
        job = _job(request, work)
        which = {"before": job.before, "after": job.after}.get(request.path_params["view"])
        if job.state != "done" or which is None or not which.is_file():
            raise HTTPException(404)
        return FileResponse(which, media_type="image/png")

    async def download(request: Request) -> Response:
        job = _job(request, work)
        if job.state != "done" or job.result is None or not job.result.is_file():
            raise HTTPException(404)
        kind = _TYPES.get(job.result.suffix, "application/octet-stream")
        return FileResponse(job.result, media_type=kind, filename=job.result_name)

    async def nothing(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        words = {404: "there is nothing here (any more)", 405: "that cannot be done here"}
        return JSONResponse({"error": words.get(status, "superres itself failed")}, status)

    return Starlette(
        routes=[
            Route("/", show_page),
            Route("/jobs", add, methods=["POST"]),
            Route("/jobs/{id:str}", show),
            Route("/jobs/{id:str}", remove, methods=["DELETE"]),
            Route("/jobs/{id:str}/result", download),
            Route("/jobs/{id:str}/{view:str}", view),
        ],
        middleware=[
            Middleware(Guard, names=names, addresses=addresses, token=token, policy=policy(page))
        ],
        exception_handlers={HTTPException: nothing, Exception: nothing},
    )


def _job(request: Request, work: Work) -> Job:
    job = work.get(request.path_params["id"])
    if job is None:
        raise HTTPException(404)
    return job


async def _receive(request: Request, work: Work) -> Job:
    """The body of the request as a new job; what was written is removed if it is refused."""
    query = request.query_params
    offer = work.offers.get(query.get("model", ""))
    if offer is None:
        raise Refused("there is no such model on this page; reload it", 422)
    if query.get("scale") not in {str(scale) for scale in offer.choices}:
        raise Refused(f"{offer.name} is offered for ×{', ×'.join(map(str, offer.choices))}", 422)
    format = query.get("format") or None
    if format is not None and format not in FORMATS:
        raise Refused(f"the format must be one of {', '.join(FORMATS)}", 422)
    name = safe_name(query.get("name", ""))
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > work.limits.upload_bytes:
        raise _too_large(name, work)
    job = work.new(name, offer, int(query["scale"]), format, query.get("ensemble") == "1")
    try:
        async with asyncio.timeout(work.limits.upload_seconds):
            await _store(request, job, work)
        await run_in_threadpool(check_upload, job.source, name, job.scale, work.limits)
    except BaseException as error:
        shutil.rmtree(job.folder, ignore_errors=True)
        if isinstance(error, TimeoutError):
            raise Refused(f"{name}: the upload took too long", 408) from None
        if isinstance(error, ClientDisconnect):
            raise Refused(f"{name}: the upload was broken off", 400) from None
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Refused(f"{name}: the disk is full", 507) from None
        if isinstance(error, UserError) and not isinstance(error, Refused):
            raise Refused(str(error), 415) from None
        raise
    return job


async def _store(request: Request, job: Job, work: Work) -> None:
    size = 0
    with job.source.open("xb") as file:
        async for chunk in request.stream():
            size += len(chunk)
            if size > work.limits.upload_bytes:
                raise _too_large(job.name, work)
            file.write(chunk)


def _too_large(name: str, work: Work) -> Refused:
    limit = work.limits.upload_bytes
    told = f"{limit / 2**20:.3g} MiB" if limit >= 2**20 else f"{limit / 2**10:.3g} KiB"
    return Refused(
        f"{name}: the file is larger than the {told} that this page takes (--max-upload raises it)",
        413,
    )


__all__ = ["make_app"]
