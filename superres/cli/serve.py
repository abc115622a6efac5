"""A page in your browser to try networks: drop an image, watch, compare, download.

superres serve                                    the network that comes with superres
superres serve --model weights.safetensors        a weight file; several with --model again
superres serve --keep results                     results are kept there as well

The page is for this computer only (127.0.0.1) and needs no network. Images are done one after
the other; uploads and results are removed when it ends, with Ctrl-C.
"""

from __future__ import annotations

import argparse
import importlib.util
import signal
from functools import partial
from pathlib import Path

from superres.errors import UserError
from superres.options import count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add = parser.add_argument
    text = "to offer; repeatable"
    add("-m", "--model", action="append", default=[], metavar="FILE|NAME", help=text)
    add("--port", type=int, default=8765, help="0: any free one (default: 8765)")
    add("--host", default="127.0.0.1", help="others than 127.0.0.1 let other computers in")
    add("--open", action="store_true", help="open the page in a browser")
    add("--keep", type=Path, metavar="DIR", help="keep results there; else nothing stays")
    add("--device", default="auto", help="cpu, cuda, cuda:1; default: auto")
    add("--backend", default="auto", help="auto (the fastest), ncnn, openvino, onnxruntime, torch")
    add("--max-upload", default="64M", metavar="BYTES", help="of one file (default: 64M)")
    add("--max-pixels", default="24M", metavar="N", help="of one image (default: 24M)")


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C (130) or SIGTERM (143)."""
    missing = [name for name in ("starlette", "uvicorn") if not importlib.util.find_spec(name)]
    if missing:
        raise UserError(
            f"superres serve needs {' and '.join(missing)}: pip install 'superres[serve]'"
        )
    from superres.serve.offers import Offers
    from superres.serve.session import is_local, listening, run_session
    from superres.serve.uploads import Limits

    pixels = count(args.max_pixels, "--max-pixels", 1000)
    limits = Limits(
        upload_bytes=count(args.max_upload, "--max-upload", 1024),
        pixels=pixels,
        result_pixels=max(Limits.result_pixels, pixels),
    )
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        # A terminal that closes ends it as SIGTERM does, which the server knows.
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    say = partial(print, flush=True)
    with listening(args.host, args.port):
        pass  # told before the networks are loaded
    if not is_local(args.host):
        say(
            f"warning: --host {args.host} lets every computer that can reach this one upload "
            "images to it; there is no password and no encryption"
        )
    offers = Offers(args.model, args.device, args.backend)
    say("models: " + ", ".join(offer.name for offer in offers))
    say("Ctrl-C ends it" + ("" if args.keep else "; nothing is kept then"))
    run_session(offers, limits, args.host, args.port, args.keep, args.open, say)
    return 0
