"""Which files are to be enlarged, and where each result goes."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from superres.errors import UserError
from superres.files import unreadable
from superres.imaging.kinds import IMAGE_SUFFIXES, first_bytes, is_video
from superres.imaging.listing import is_image, left_out_note
from superres.upscaling.animation import is_animation
from superres.upscaling.names import shown
from superres.upscaling.video_codec import CONTAINERS
from superres.upscaling.writing import FORMATS, SUFFIX_FORMATS

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".wmv", ".asf"),
    *(".vob", ".m2ts", ".mts", ".3gp", ".3g2", ".flv", ".ogv", ".mxf"),
)
"""Suffixes of films; others are told by their first bytes."""
STREAM = "-"


@dataclass(frozen=True)
class Job:
    """One file and its result.

    Attributes:
        source: path, or '-' for standard input.
        target: path, or '-' for standard output.
        video: a clip rather than a picture.
    """

    source: Path | str
    target: Path | str
    video: bool = False


@dataclass
class JobList:
    """What is to be done.

    Attributes:
        jobs: in a stable order, no target twice.
        missing: inputs that are not there, each with the reason.
        notes: what was left out.
    """

    jobs: list[Job] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def list_jobs(
    inputs: Iterable[str], output: str | None, scale: float, format: str | None = None
) -> JobList:
    """Find the pictures and clips that ``inputs`` mean, and name their results.

    A folder is searched with its subfolders, whose structure the output keeps; a pattern such as
    ``'pics/**/*.png'`` is expanded; ``-`` is standard input. Results of an earlier run that lie
    among the inputs are not enlarged again, and no result takes the place of an input.

    Args:
        output: a file (for one input), a folder, ``-``, or None: ``NAME_x4.png`` beside NAME.png,
            and the folder ``NAME_x4`` beside a folder.
        scale: for the names.
        format: a key of `FORMATS`, or None for the same format as the source.

    Raises:
        UserError: nothing to do, several inputs to one file, or the output would be an input.
    """
    found = JobList()
    inputs = list(inputs)
    suffix = f"_x{scale:g}"
    sources = _sources(inputs, _folder_to_avoid(output, inputs, suffix), found)
    if not sources and not found.missing:
        raise UserError(
            f"no pictures in {', '.join(shown(i) for i in inputs)}"
            + "".join(f"\n{note}" for note in found.notes)
        )
    everything = {_identity(path) for path, _ in sources if path != STREAM}
    # Where results go among their sources, those of an earlier run are found as inputs.
    beside = None if output is None else os.path.join(os.path.realpath(output), "")
    earlier = [
        s
        for s, _ in sources
        if s != STREAM
        and (beside is None or os.path.realpath(s).startswith(beside))
        and _is_own_result(s, everything)
    ]
    for source in earlier:
        found.notes.append(f"{shown(source)}: passed over, it is the result of an earlier run")
        everything.discard(_identity(source))
    passed = set(earlier)
    sources = [item for item in sources if item[0] not in passed]
    _check_output(output, sources)
    if _is_one_file(output, sources):
        source, _ = sources[0]
        target: Path | str = STREAM if output == STREAM else Path(output)
        if target != STREAM and _identity(target) in everything:
            raise UserError(
                f"{shown(output)}: is the input itself, which is never overwritten; name another "
                "output"
            )
        found.jobs.append(Job(source, target, _is_video(source)))
        return found
    if output == STREAM:
        raise UserError(f"{len(sources)} inputs cannot all go to standard output; name a folder")
    taken: set[str] = set()
    targets: dict[Path | str, Path | str] = {}
    # The one that keeps its suffix keeps its name, too, whatever else is there: so names stay.
    for source, root in sorted(sources, key=lambda item: not _keeps_suffix(item[0], format)):
        if source == STREAM:
            if output is not None:
                raise UserError("'-o' must be a file or '-' where the input is '-'")
            targets[STREAM] = STREAM
            continue
        target = _target(source, root, output, suffix, format, len(inputs) > 1)
        if _identity(target) in everything:
            target = target.with_name(f"{target.stem}{suffix}{target.suffix}")
        if _key(target) in taken:  # x.jpg and x.png, both to x.png
            target = target.with_name(f"{target.stem}_{source.suffix[1:]}{target.suffix}")
        number = 2
        while _key(target) in taken or _identity(target) in everything:
            target = target.with_name(f"{target.stem}_{number}{target.suffix}")
            number += 1
        taken.add(_key(target))
        targets[source] = target
    for source, _ in sources:
        found.jobs.append(Job(source, targets[source], _is_video(source)))
    if not found.jobs and not found.missing:
        raise UserError("nothing to do: " + "; ".join(found.notes))
    return found


def _sources(
    inputs: list[str], avoid: str | None, found: JobList
) -> list[tuple[Path | str, Path | None]]:
    """(file, folder that it was found in, or None where it was named itself), none twice."""
    sources: list[tuple[Path | str, Path | None]] = []
    seen: set[tuple] = set()

    def add(path: Path, root: Path | None) -> None:
        if (identity := _identity(path)) not in seen:
            seen.add(identity)
            sources.append((path, root))

    for text in inputs:
        path = Path(text)
        if text == STREAM:
            sources.append((STREAM, None))
        elif path.is_dir():
            clips = 0
            left_out: Counter[str] = Counter()
            files = _walk(path, avoid, found, left_out)
            if left_out:
                found.notes.append(f"{shown(path)}: passed over, {left_out_note(left_out)}")
            for file in files:
                if _is_video(file):
                    clips += 1
                else:
                    add(file, path)
            if clips:
                found.notes.append(
                    f"{shown(path)}: {clips} video{'s' * (clips > 1)} passed over; name a video "
                    "itself to have it done"
                )
        elif path.exists():
            add(path, None)
        elif glob.has_magic(text):
            matches = [Path(p) for p in sorted(glob.glob(text, recursive=True))]
            matches = [p for p in matches if not p.is_dir() and (is_image(p) or _is_video(p))]
            if not matches:
                found.missing.append((text, "no picture matches this pattern"))
            for match in matches:
                if fault := unreadable(match):
                    found.missing.append((os.fspath(match), _reason(fault, match)))
                else:
                    add(match, None)
        else:
            fault = unreadable(path) if path.is_symlink() else f"{path}: no such file or folder."
            found.missing.append((text, _reason(fault, path)))
    return sources


def _reason(fault: str, path: Path) -> str:
    return fault.removeprefix(f"{os.fspath(path)}: ").rstrip(".")


def _walk(folder: Path, avoid: str | None, found: JobList, left_out: Counter[str]) -> list[Path]:
    """Pictures and clips below a folder, sorted; hidden ones and linked folders left out."""
    files: list[Path] = []

    def told(error: OSError) -> None:
        found.missing.append((os.fspath(error.filename), error.strerror or "cannot be read"))

    for root, folders, names in os.walk(folder, onerror=told):
        folders[:] = sorted(
            n for n in folders if n[0] != "." and os.path.realpath(os.path.join(root, n)) != avoid
        )
        for name in sorted(names):
            path = Path(root, name)
            if name[0] == "." or not (_is_video(path) or is_image(path, left_out)):
                continue
            if fault := unreadable(path):
                found.missing.append((os.fspath(path), _reason(fault, path)))
            else:
                files.append(path)
    return files


def _folder_to_avoid(output: str | None, inputs: list[str], suffix: str) -> str | None:
    """The output folder: an earlier run's results in it are no inputs."""
    if output is None or output == STREAM:
        return None
    real = os.path.realpath(output)
    # Where results are to lie among their sources, all are looked at.
    return None if any(os.path.realpath(i) == real for i in inputs) else real


def _target(
    source: Path,
    root: Path | None,
    output: str | None,
    suffix: str,
    format: str | None,
    several: bool,
) -> Path:
    name = source.stem + _suffix_of(source, format)
    if output is None:
        if root is None:
            return source.with_name(f"{source.stem}{suffix}{_suffix_of(source, format)}")
        whole = Path(os.path.abspath(root))
        return whole.with_name(f"{whole.name}{suffix}") / source.relative_to(root).with_name(name)
    folder = Path(output)
    if root is None:
        return folder / name
    if several:
        folder = folder / Path(os.path.abspath(root)).name
    return folder / source.relative_to(root).with_name(name)


def _suffix_of(source: Path, format: str | None) -> str:
    if _is_video(source):
        return source.suffix if source.suffix.lower() in CONTAINERS else ".mkv"
    if format is not None:
        same = SUFFIX_FORMATS.get(source.suffix.lower()) == SUFFIX_FORMATS[FORMATS[format]]
        return source.suffix if same else FORMATS[format]
    if source.suffix.lower() in SUFFIX_FORMATS or is_animation(source):
        return source.suffix
    return ".png"


def _keeps_suffix(source: Path | str, format: str | None) -> bool:
    return isinstance(source, Path) and _suffix_of(source, format) == source.suffix


def _check_output(output: str | None, sources: list) -> None:
    """UserError where a folder would get the name of a file, probably a slip of the pen."""
    if output in (None, STREAM) or os.path.exists(output) or output.endswith((os.sep, "/")):
        return
    if _is_one_file(output, sources):
        return
    suffix = os.path.splitext(output)[1]
    if suffix.lower() in (*SUFFIX_FORMATS, *CONTAINERS):
        raise UserError(
            f"{shown(output)}: is named as a file, but {len(sources)} results go into a folder; if "
            f"it is meant to be one, write {shown(output)}/"
        )
    if len(sources) == 1 and sources[0][1] is None and re.fullmatch(r"\.[A-Za-z]{2,5}", suffix):
        raise UserError(
            f"{shown(output)}: cannot write {suffix}; use {' '.join(SUFFIX_FORMATS)}, or "
            f"{shown(output)}/ for a folder of that name"
        )


def _is_one_file(output: str | None, sources: list) -> bool:
    """Whether ``output`` is a file to write rather than a folder."""
    if output is None or len(sources) != 1:
        return False
    if output == STREAM:
        return True
    source, root = sources[0]
    if os.path.isdir(output) or output.endswith((os.sep, "/")):
        return False
    return root is None and (source == STREAM or _by_suffix(os.path.basename(output)))


def _is_own_result(source: Path, everything: set) -> bool:
    """``a_x4.png`` where ``a.png`` (or .jpg, ...) is an input, too."""
    match = re.fullmatch(r"(.+)_x\d+(\.\d+)?(_compare)?", source.stem)
    if match is None:
        return False
    return any(
        _identity(source.with_name(match[1] + end)) in everything
        for end in {source.suffix, *IMAGE_SUFFIXES, *VIDEO_SUFFIXES}
    )


def _by_suffix(name: str) -> bool:
    return name.lower().endswith((*IMAGE_SUFFIXES, *VIDEO_SUFFIXES))


def _is_video(path: Path | str) -> bool:
    if not isinstance(path, Path) or path.name.lower().endswith(IMAGE_SUFFIXES):
        return False
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return True
    return path.is_file() and is_video(first_bytes(path))


def _identity(path: Path | str) -> tuple:
    """The same for all names of one file."""
    try:
        status = os.stat(path)
        return status.st_dev, status.st_ino
    except OSError:
        return (os.path.realpath(path),)


def _key(path: Path) -> str:
    return os.path.normcase(os.path.abspath(path))
