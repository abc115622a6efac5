"""Upscale images and videos: files, folders, patterns, standard input.

superres upscale photo.jpg                       writes photo_x4.jpg beside it
superres upscale photos/ -o large --scale 2      a folder with its subfolders
superres upscale 'scans/*.tif' --model weights.safetensors --format png
superres upscale clip.mp4                        frame rate, sound and subtitles are kept
superres upscale - < small.png > large.png

Alpha, grey, 16 bits, orientation, EXIF and colour profile are kept. Inputs are never overwritten,
results appear whole or not at all. What this command made already is not done again; a result that
is there and was made otherwise (another scale, model, option or input) is kept and told.
Exit code 0: all done; 1: some failed, listed at the end; 2: nothing could be started.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superres.errors import UserError
from superres.options import any_scale, count, part_of
from superres.output import drop_output, printable, shown

if TYPE_CHECKING:
    from superres.upscaling.networks import ChosenNetwork, Networks, Options
    from superres.upscaling.targets import JobList
    from superres.upscaling.upscale_files import Result

_AS_THEY_ARE = (
    *("model", "scale", "device", "backend", "precision", "weights_format", "format", "quality"),
    *("overwrite", "deinterlace", "compare"),
)
"""Arguments that are `Options`, too."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add = parser.add_argument
    add("inputs", nargs="*", metavar="INPUT", help="files, folders, quoted patterns, or -")
    add("-i", "--input", dest="more", action="append", metavar="INPUT", help="the same as INPUT")
    add("-o", "--output", metavar="OUT", help="file, folder, or - (default: beside the input)")
    text = "default: auto, edsr-photo for JPEG and other lossy inputs, edsr-s for lossless ones"
    add("-m", "--model", default="auto", metavar="NAME|FILE", help=f"superres models list; {text}")
    add("--weights-format", metavar="FORMAT", help="of a weight file that does not tell it")
    text = "1 to 64, also 1.5; default: the model's, or 4"
    add("-s", "--scale", type=any_scale, metavar="S", help=text)
    add("--self-ensemble", action="store_true", help="mean of eight views: better, 8 times slower")
    add("--tile", default="auto", metavar="auto|N|edsr-chop|off", help="side of tiles, input px")
    add("--device", default="auto", help="cpu, cuda, cuda:1, vulkan, mps; default: cuda, else cpu")
    add("--backend", default="auto", help="auto (the fastest), ncnn, openvino, onnxruntime, torch")
    text = "bf16, fp16: by torch, where the processor or GPU is faster with them"
    add("--precision", default="fp32", choices=("fp32", "bf16", "fp16"), help=text)
    text = "for the network's work, such as 2G; default: 768M on CPUs, more if large tiles pay"
    add("--memory", metavar="BYTES", help=text)
    add("--format", type=str.lower, choices=("png", "jpg", "webp", "tiff"), help="of results")
    add("--quality", type=int, metavar="1..100", help="of jpg and webp (default: 95)")
    text = "also write before/after images, or FILE.html with sliders"
    add("--compare", nargs="?", const="", metavar="FILE", help=text)
    add("--deinterlace", action="store_true", help="videos whose frames show two moments (combs)")
    text = "only the I-th of N parts of the inputs, as each job of an array does; I from 1"
    add("--shard", type=part_of, metavar="I/N", help=text)
    add("--overwrite", action="store_true", help="replace results that are there already")
    add("--max-pixels", metavar="N", help="refuse larger inputs (default: 268M)")
    add("--json", metavar="FILE", help="write what was done there")


def run(args: argparse.Namespace) -> int:
    """Upscale; see `superres.upscaling`."""
    args.inputs += args.more or ()
    if args.compare and not args.inputs:  # --compare photo.png: meant as the input
        args.inputs, args.compare = [args.compare], ""
    if not args.inputs:
        raise UserError("name an image, a folder, a pattern in quotes, or - for standard input")
    to_stdout = args.output == "-" or ("-" in args.inputs and args.output is None)
    stream = sys.stderr if to_stdout else sys.stdout
    # Before anything large is imported. A reader that has gone is met again, and told, later.
    with contextlib.suppress(BrokenPipeError):
        what = "" if args.model == "auto" else f" {printable(args.model)}"
        print(f"preparing{what} ...", file=stream, flush=True)
    return _upscale(args, stream)


def _upscale(args: argparse.Namespace, stream: Any) -> int:
    from superres.cli._progress import UpscaleProgress
    from superres.imaging.io import max_pixels_allowed
    from superres.upscaling.networks import Networks
    from superres.upscaling.targets import list_jobs
    from superres.upscaling.upscale_files import run_jobs

    for option in ("json", "compare") if args.shard else ():  # each part has files of its own
        if (path := Path(getattr(args, option) or "")).suffix:
            setattr(args, option, str(path.with_stem("{}-{}of{}".format(path.stem, *args.shard))))
    options = _options(args)
    max_pixels_allowed(options.max_pixels)  # for what it refuses, before there are results
    try:
        networks = Networks(options)
    except UserError as error:  # other commands know no format but that of weights
        raise UserError(str(error).replace("(--format)", "(--weights-format)")) from None
    found = list_jobs(args.inputs, args.output, networks.scale, args.format)
    if found.missing and not found.jobs:
        raise UserError("; ".join(f"{name}: {why}" for name, why in found.missing))
    if args.shard:
        (part, parts), every = args.shard, len(found.jobs)
        found.jobs = sorted(found.jobs, key=lambda job: str(job.source))[part - 1 :: parts]
        found.notes.append(f"part {part} of {parts}: {len(found.jobs)} of {every} inputs")
    _check_places(args, found.jobs)
    with UpscaleProgress(stream, len(found.jobs), _headline, networks.scale) as view:
        try:
            for note in found.notes:
                view.say(note)
            results, code = run_jobs(found.jobs, networks, options, view)
        except BrokenPipeError:
            if stream is sys.stderr:
                raise
            drop_output()
            told = "stopped, the reader of the output has gone; the same command goes on from here"
            print(told, file=sys.stderr)
            return 1
    code = code or int(bool(found.missing))
    _summary(results, found, code, stream)
    if args.json:
        _write_json(Path(args.json), networks, results, found.missing)
    return code


def _options(args: argparse.Namespace) -> Options:
    from superres.inference import Tiling
    from superres.upscaling.networks import Options

    return Options(
        **{name: getattr(args, name) for name in _AS_THEY_ARE},
        tiling=Tiling(
            args.tile,
            self_ensemble=args.self_ensemble,
            memory_budget=args.memory and count(args.memory, "--memory", 1024),
        ),
        max_pixels=args.max_pixels and count(args.max_pixels, "--max-pixels", 1000),
    )


def _headline(chosen: ChosenNetwork) -> str:
    options = chosen.options
    words = [f"{chosen.label} on {chosen.device}, back end {chosen.upscaler.net.name}"]
    words += [options.precision] * (options.precision != "fp32")
    words += ["self-ensemble"] * options.tiling.self_ensemble
    return ", ".join(words) + "".join(f"\nnote: {note}" for note in chosen.notes)


def _summary(results: list[Result], found: JobList, code: int, stream: Any) -> None:
    from superres.upscaling.upscale_files import NO_RECORD

    failed = [f"{name}: {why}" for name, why in found.missing]
    failed += [r.error or r.source for r in results if r.status == "failed"]
    skipped = [r for r in results if r.status == "skipped"]
    words = [f"{sum(r.status == 'done' for r in results)} done"]
    if skipped:
        unsure = sum(NO_RECORD in r.notes for r in skipped)
        why = f"; {unsure} {NO_RECORD}" if unsure else ""
        words.append(f"{len(skipped)} there already (--overwrite does them again{why})")
    words += [f"{len(failed)} failed"] * bool(failed)
    if left := len(found.jobs) - len(results):
        words.append(f"{left} not begun")
    if code in (130, 143):
        words.append("stopped; the same command goes on from here")
    if len(found.jobs) + len(found.missing) > 1 or code or skipped:
        print("; ".join(words), file=stream, flush=True)
    for line in ["failed:", *(f"  {shown(text)}" for text in failed)] if failed else ():
        print(line, file=sys.stderr)


def _check_places(args: argparse.Namespace, jobs: list) -> None:
    """What would fail, or do harm, only after the work."""
    from superres.upscaling.compare import is_page

    inputs = {os.path.realpath(job.source) for job in jobs}
    there = any(os.path.exists(job.target) for job in jobs)
    for option, path in (("--json", args.json), ("--compare", args.compare)):
        whole, fault = os.path.abspath(path or ""), ""
        if path and os.path.realpath(path) in inputs:
            fault = "is an input, which is never overwritten"
        elif path and not os.path.isdir(os.path.dirname(whole)):
            fault = "its folder does not exist"
        elif path and os.path.isdir(whole):
            fault = "is a folder; name a file in it"
        elif option == "--json" and os.path.isfile(whole) and not whole.endswith(".json"):
            fault = "is there already, and not named as a report, .json"  # as `--json *.png` has it
        elif path and option == "--compare":
            page, old = is_page(path), Path(path).read_bytes() if os.path.isfile(path) else b""
            # A page of an earlier run is written again, an image only with its result.
            ours = b"<title>Before and after<" in old[:200] if page else there
            if len(jobs) > 1 and not page:
                fault = f"there are {len(jobs)} inputs; --compare alone writes beside each result, "
                fault += "and a page such as compare.html holds all"
            elif old and not (args.overwrite or ours):
                fault = "is there already; --overwrite replaces it"
        if fault:
            raise UserError(f"{option} {path}: {fault}")


def _write_json(path: Path, networks: Networks, results: list, missing: list) -> None:
    from superres.files import write_atomically

    used = list(networks.used.values())
    record = {
        "schema": 1,
        "command": "upscale",
        "model": ", ".join(chosen.label for chosen in used),
        "scale": networks.scale,
        "device": ", ".join(dict.fromkeys(str(chosen.device) for chosen in used)) or None,
        "backend": ", ".join(dict.fromkeys(filter(None, (c.backend for c in used)))) or None,
        "notes": [note for chosen in used for note in chosen.notes],
        "results": [result.as_dict() for result in results],
        "missing": [{"source": shown(name), "error": why} for name, why in missing],
    }
    data = json.dumps(record, indent=1).encode()
    write_atomically(path, lambda file: file.write(data))
