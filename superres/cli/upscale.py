"""Enlarge pictures and videos: files, folders, patterns, standard input.

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
from superres.options import any_scale, count
from superres.output import drop_output, printable
from superres.stopping import TERMINATED, Terminated

if TYPE_CHECKING:
    from superres.upscaling.automatic import Networks
    from superres.upscaling.networks import ChosenNetwork
    from superres.upscaling.run import Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add = parser.add_argument
    add("inputs", nargs="*", metavar="INPUT", help="files, folders, quoted patterns, or -")
    add("-o", "--output", metavar="OUT", help="file, folder, or - (default: beside the input)")
    add(
        "--model",
        default="auto",
        metavar="NAME|FILE",
        help="default: auto, edsr-photo for JPEG and other lossy inputs, edsr-s for lossless ones",
    )
    add("--weights-format", metavar="FORMAT", help="of a weight file that does not tell it")
    add(
        "--scale", type=any_scale, metavar="S", help="1 to 64, also 1.5; default: the model's, or 4"
    )
    add("--self-ensemble", action="store_true", help="mean of eight views: better, 8 times slower")
    add("--tile", default="auto", metavar="auto|N|edsr-chop|off", help="side of tiles, input px")
    add("--device", default="auto", help="cpu, cuda, cuda:1, vulkan, mps; default: cuda, else cpu")
    add("--backend", default="auto", help="auto (the fastest), ncnn, openvino, onnxruntime, torch")
    add(
        "--precision",
        default="fp32",
        choices=("fp32", "bf16", "fp16"),
        help="bf16, fp16: by torch, where the processor or GPU is faster with them",
    )
    add(
        "--memory",
        metavar="BYTES",
        help="for the network's work, such as 2G; default: 768M on CPUs, more if large tiles pay",
    )
    add(
        "--format",
        type=str.lower,
        choices=("png", "jpg", "webp", "tiff"),
        help="default: as each input",
    )
    add("--quality", type=int, metavar="1..100", help="of jpg and webp (default: 95)")
    add(
        "--compare",
        nargs="?",
        const="",
        metavar="FILE",
        help="also write before/after pictures, or FILE.html with sliders",
    )
    add("--overwrite", action="store_true", help="replace results that are there already")
    add("--max-pixels", metavar="N", help="refuse larger inputs (default: 268M)")
    add("--json", metavar="FILE", help="write what was done there")
    add("--list-models", action="store_true", help="list the names for --model")


def run(args: argparse.Namespace) -> int:
    """Upscale; see `superres.upscaling`."""
    if args.list_models:
        return _list_models()
    if args.compare and not args.inputs:  # --compare photo.png: meant as the input
        args.inputs, args.compare = [args.compare], ""
    if not args.inputs:
        raise UserError("name a picture, a folder, a pattern in quotes, or - for standard input")
    to_stdout = args.output == "-" or ("-" in args.inputs and args.output is None)
    stream = sys.stderr if to_stdout else sys.stdout
    # Before anything large is imported. A reader that has gone is met again, and told, later.
    with contextlib.suppress(BrokenPipeError):
        what = "" if args.model == "auto" else f" {printable(args.model)}"
        print(f"preparing{what} ...", file=stream, flush=True)
    from superres.upscaling.names import shown

    try:
        return _upscale(args, stream)
    except UserError as error:  # messages of other rooms name files as they are
        raise UserError("\n".join(shown(line) for line in str(error).split("\n"))) from error


def _upscale(args: argparse.Namespace, stream: Any) -> int:
    import functools

    from superres.cli._upscale_progress import ProgressView
    from superres.imaging.io import max_pixels_allowed
    from superres.inference import parse_tile
    from superres.upscaling.automatic import Networks
    from superres.upscaling.jobs import list_jobs
    from superres.upscaling.networks import choose_network
    from superres.upscaling.run import Options, pending, run_jobs

    limit = None if args.max_pixels is None else count(args.max_pixels, "--max-pixels", 1000)
    max_pixels_allowed(limit)  # for what it refuses, before there are results
    quality = _quality(args.quality)
    tile = parse_tile(args.tile)
    budget = None if args.memory is None else count(args.memory, "--memory", 1024)
    backend = args.backend if args.precision == "fp32" else "torch"
    choose = functools.partial(
        choose_network, device=args.device, format=args.weights_format, backend=backend
    )
    try:
        networks = Networks(args.model, args.scale, choose)
    except UserError as error:  # other commands know no format but that of weights
        raise UserError(str(error).replace("(--format)", "(--weights-format)")) from None
    found = list_jobs(args.inputs, args.output, networks.scale, args.format)
    if found.missing and not found.jobs:
        raise UserError("; ".join(f"{name}: {why}" for name, why in found.missing))
    _check_places(args, found.jobs)

    def settings(source: Any) -> Any:
        return networks.of(source).settings(tile, args.self_ensemble, args.precision)

    options = Options(settings, args.format, quality, args.overwrite, args.compare, limit)

    made: dict[str, tuple[Any, str]] = {}  # label -> an enlarger and its back end

    def enlarger_for(source: Any) -> Any:
        chosen = networks.of(source)
        if chosen.label not in made:
            tiling = {"tile": tile, "self_ensemble": args.self_ensemble, "memory_budget": budget}
            made[chosen.label] = chosen.enlarger(args.backend, args.precision, **tiling)
            notes = [note for note in (networks.why(chosen), *chosen.notes) if note]
            view.say(_headline(chosen, made[chosen.label][1], notes, args))
        return made[chosen.label][0]

    todo = len(pending(found.jobs, options))
    with ProgressView(found.jobs, todo, stream) as view:
        for note in found.notes:
            view.say(note)
        try:
            results = run_jobs(found.jobs, enlarger_for, options, view)
            code = 130 if any(r.status == "interrupted" for r in results) else 0
        except Terminated:
            results, code = view.results, TERMINATED
        except BrokenPipeError:
            if stream is sys.stderr:
                raise
            drop_output()
            told = "stopped, the reader of the output has gone; the same command goes on from here"
            print(told, file=sys.stderr)
            return 1
    if not code and (found.missing or any(r.status == "failed" for r in results)):
        code = 1
    _summary(results, found, code, stream)
    if args.json:
        _write_json(Path(args.json), networks, made, results, found.missing)
    return code


def _headline(
    chosen: ChosenNetwork, backend: str, notes: list[str], args: argparse.Namespace
) -> str:
    words = [f"{chosen.label} on {chosen.device}, back end {backend}"]
    words += [args.precision] * (args.precision != "fp32")
    words += ["self-ensemble"] * args.self_ensemble
    return ", ".join(words) + "".join(f"\nnote: {note}" for note in notes)


def _summary(results: list[Result], found: Any, code: int, stream: Any) -> None:
    from superres.upscaling.names import shown
    from superres.upscaling.run import NO_RECORD

    counts = {s: sum(r.status == s for r in results) for s in ("done", "skipped", "failed")}
    failed = counts["failed"] + len(found.missing)
    words = [f"{counts['done']} done"]
    if counts["skipped"]:
        unsure = sum(NO_RECORD in r.notes for r in results if r.status == "skipped")
        why = f"; {unsure} {NO_RECORD}" if unsure else ""
        words.append(f"{counts['skipped']} there already (--overwrite does them again{why})")
    if failed:
        words.append(f"{failed} failed")
    if len(results) < len(found.jobs):
        words.append(f"{len(found.jobs) - len(results)} not begun")
    if code in (130, 143):
        words.append("stopped; the same command goes on from here")
    if len(found.jobs) + len(found.missing) > 1 or code or counts["skipped"]:
        print("; ".join(words), file=stream, flush=True)
    if failed:
        print("failed:", file=sys.stderr)
        for name, why in found.missing:
            print(f"  {shown(name)}: {why}", file=sys.stderr)
        for result in results:
            if result.status == "failed":
                print(f"  {shown(result.error or result.source)}", file=sys.stderr)


def _check_places(args: argparse.Namespace, jobs: list) -> None:
    """What would fail, or do harm, only after the work."""
    from superres.upscaling.compare import is_page_of_ours

    first = jobs[0].target
    places = {"--json": args.json, "--compare": args.compare}
    inputs = {os.path.realpath(job.source) for job in jobs if job.source != "-"}
    for option, path in places.items():
        if not path:
            continue
        if os.path.realpath(path) in inputs:
            raise UserError(f"{option} {path}: is an input, which is never overwritten")
        folder = os.path.dirname(os.path.abspath(path))
        if not os.path.isdir(folder):
            raise UserError(f"{option} {path}: its folder does not exist")
        if os.path.isdir(path):
            raise UserError(f"{option} {path}: is a folder; name a file in it")
    if args.json and os.path.isfile(args.json) and not _is_record(args.json):
        raise UserError(f"--json {args.json}: is there already, and no record of an earlier run")
    compare = args.compare
    if compare and os.path.isfile(compare) and not args.overwrite:
        page = compare.lower().endswith((".html", ".htm"))
        # A page of an earlier run is written anew; a picture only with its result.
        ours = is_page_of_ours(compare) if page else len(jobs) == 1 and os.path.exists(first)
        if not ours:
            raise UserError(f"--compare {compare}: is there already; --overwrite replaces it")
    out = args.output
    if out and out != "-" and os.path.exists(out) and not os.path.isdir(out):
        if len(jobs) > 1:
            raise UserError(f"{out}: is a file; {len(jobs)} results need a folder")
        if jobs and os.path.dirname(jobs[0].target) == out.rstrip(os.sep):
            raise UserError(
                f"{out}: is there and no folder, and its name does not say which kind of picture "
                "to write; give a folder, a name such as out.png, or - for standard output"
            )


def _is_record(path: str) -> bool:
    """Whether a file is what `_write_json` wrote, and may be written anew."""
    with open(path, "rb") as file:
        return file.read(60).startswith(b'{\n "schema": 1,\n "command": "upscale"')


def _list_models() -> int:
    from superres.checkpoints.names import PUBLISHED
    from superres.checkpoints.shipped import model_names, shipped, variants

    here = {name.rpartition("_x")[0] or name for name in shipped()} | set(shipped())
    for name in model_names():
        scales = ", ".join(f"x{s}" for s in variants(name))
        if not scales and name in PUBLISHED:
            scales = "several scales" if name.startswith("mdsr") else ""
        where = "comes with superres" if name in here else "downloaded when first used"
        print(f"{name:<18} {scales:<16} {where}")
    print("or the path of a weight file")
    return 0


def _write_json(path: Path, networks: Networks, made: dict, results: list, missing: list) -> None:
    from superres.files import write_atomically
    from superres.upscaling.names import shown

    used = list(networks.used.values())
    record = {
        "schema": 1,
        "command": "upscale",
        "model": ", ".join(chosen.label for chosen in used),
        "scale": networks.scale,
        "device": ", ".join(dict.fromkeys(str(chosen.device) for chosen in used)) or None,
        "backend": ", ".join(dict.fromkeys(backend for _, backend in made.values())) or None,
        "notes": [note for chosen in used for note in chosen.notes],
        "results": [result.as_dict() for result in results],
        "missing": [{"source": shown(name), "error": why} for name, why in missing],
    }
    data = json.dumps(record, indent=1).encode()
    write_atomically(path, lambda file: file.write(data))


def _quality(value: int | None) -> int | None:
    if value is not None and not 1 <= value <= 100:
        raise UserError(f"--quality must be 1 to 100, not {value}")
    return value
