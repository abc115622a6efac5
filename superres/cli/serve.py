"""A page in your browser to try networks: drop a picture, watch, compare, download.

superres serve                                    the network that comes with superres
superres serve --model weights.safetensors        a weight file; several with --model again
superres serve --keep results                     results are kept there as well

The page is for this computer only (127.0.0.1) and needs no network. Pictures are done one after
the other; uploads and results are removed when it ends, with Ctrl-C.
"""

from __future__ import annotations

import argparse
import importlib.util
import signal
import sys
from pathlib import Path

from superres.errors import UserError
from superres.options import count

_NEEDS = ("starlette", "uvicorn")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add = parser.add_argument
    add("--model", action="append", default=[], metavar="FILE|NAME", help="to offer; repeatable")
    add("--port", type=int, default=8765, help="0: any free one (default: 8765)")
    add("--host", default="127.0.0.1", help="others than 127.0.0.1 let other computers in")
    add("--open", action="store_true", help="open the page in a browser")
    add("--keep", metavar="DIR", help="keep results there; else nothing stays")
    add("--device", default="auto", help="cpu, cuda, cuda:1; default: auto")
    add("--backend", default="auto", help="auto (the fastest), ncnn, openvino, onnxruntime, torch")
    add("--max-upload", default="64M", metavar="BYTES", help="of one file (default: 64M)")
    add("--max-pixels", default="24M", metavar="N", help="of one picture (default: 24M)")
    add("--max-seconds", type=float, default=1800, metavar="S", help="for one (default: 1800)")
    add("--max-queue", type=int, default=8, metavar="N", help="pictures that wait (default: 8)")


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C (130) or SIGTERM (143)."""
    missing = [name for name in _NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"superres serve needs {' and '.join(missing)}: pip install 'superres[serve]'"
        )
    if not 0 <= args.port <= 65535:
        raise UserError(f"--port must be 0 to 65535, not {args.port}")
    if args.max_queue < 1 or not args.max_seconds > 0:
        raise UserError("--max-queue and --max-seconds must be positive")
    before = [(s, signal.signal(s, _terminate)) for s in (signal.SIGTERM, signal.SIGHUP)]
    try:
        _serve(args)
    except KeyboardInterrupt:
        _say("stopped; uploads and results are removed")
        return 130
    except _Terminated:
        return 143
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    return 0


def _serve(args: argparse.Namespace) -> None:
    from superres.serve.limits import Limits
    from superres.serve.offers import Offers
    from superres.serve.session import is_local, listening, run_session

    pixels = count(args.max_pixels, "--max-pixels", 1000)
    limits = Limits(
        upload_bytes=count(args.max_upload, "--max-upload", 1024),
        pixels=pixels,
        result_pixels=max(Limits.result_pixels, pixels),
        seconds=args.max_seconds,
        waiting=args.max_queue,
    )
    with listening(args.host, args.port):
        pass  # told before the networks are loaded
    if not is_local(args.host):
        _say(
            f"warning: --host {args.host} lets every computer that can reach this one upload "
            "pictures to it; there is no password and no encryption"
        )
    offers = Offers(args.model, args.device, args.backend)
    _say("models: " + ", ".join(offer.name for offer in offers))
    _say("Ctrl-C ends it" + ("" if args.keep else "; nothing is kept then"))
    keep = Path(args.keep) if args.keep else None
    run_session(offers, limits, args.host, args.port, keep, args.open, _say)


def _say(text: str) -> None:
    print(text, flush=True, file=sys.stdout)


class _Terminated(BaseException):
    """SIGTERM, or the terminal was closed."""


def _terminate(*_: object) -> None:
    raise _Terminated
