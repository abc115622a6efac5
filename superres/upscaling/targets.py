"""Which files are to be upscaled, and where each result goes."""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from superres.errors import UserError
from superres.files import is_special, unreadable
from superres.imaging.kinds import IMAGE_SUFFIXES, first_bytes, is_video, kind_of
from superres.imaging.listing import is_image, list_images
from superres.upscaling.video import CONTAINERS
from superres.upscaling.video_reading import ANIMATED, find_animation, is_film
from superres.upscaling.writing import FORMATS, SUFFIX_FORMATS, format_of

_READ_ONLY = (".mpg", ".mpeg", ".wmv", ".asf", ".vob", ".m2ts", ".mts", ".3gp", ".flv", ".mxf")
VIDEO_SUFFIXES = (*CONTAINERS, *_READ_ONLY)
"""Suffixes of films; others are recognised by their content."""
STREAM = "-"

Source = tuple[Path | str, Path | None]
"""A file, or ``-``, and the folder that it was found in, None where it was named itself."""


@dataclass(frozen=True)
class Job:
    """One file and its result.

    Attributes:
        source: path, or '-' for standard input.
        target: path, or '-' for standard output.
        video: the result is one.
        format: to write, see :data:`superres.upscaling.writing.SUFFIX_FORMATS`; ``gif`` for an
            animation; None for the source's own, and for videos.
    """

    source: Path | str
    target: Path | str
    video: bool = False
    format: str | None = None

    @property
    def streams(self) -> bool:
        """Whether standard input or output is one side."""
        return STREAM in (self.source, self.target)

    @property
    def plain(self) -> bool:
        """Whether both sides are files, so that the source can be read twice."""
        return not self.streams and not is_special(Path(self.source))


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
    """Find the images and clips that ``inputs`` mean, and name their results.

    A folder is searched with its subfolders, whose structure the output keeps; a pattern such as
    ``'pics/**/*.png'`` is expanded; ``-`` is standard input. Results of an earlier run that lie
    among the inputs are not upscaled again, and no result takes the place of an input.

    Args:
        output: a file (for one input), a folder, ``-``, or None: ``NAME_x4.png`` beside NAME.png,
            and the folder ``NAME_x4`` beside a folder.
        scale: for the names.
        format: a key of `FORMATS`, or None for the same format as the source.

    Raises:
        UserError: nothing to do, several inputs to one file, a name that cannot be written, or the
            output would be an input.
    """
    found, inputs, ending = JobList(), list(inputs), f"_x{scale:g}"
    sources = _sources(inputs, output, found)
    everything = {_identity(path) for path, _ in sources}
    # Where results go among their sources, those of an earlier run are found as inputs.
    beside = "" if output is None else os.path.join(os.path.realpath(output), "")
    for item in list(sources):
        if os.path.realpath(item[0]).startswith(beside) and _is_own_result(item[0], everything):
            found.notes.append(f"{item[0]}: passed over, it is the result of an earlier run")
            everything.discard(_identity(item[0]))
            sources.remove(item)
    if not sources:
        if found.missing:
            return found
        raise UserError("\n".join([f"no images in {', '.join(inputs)}", *found.notes]))
    one_file = _is_one_file(output, sources)
    taken = set(everything)
    for source, root in sources:
        target: Path | str = STREAM if output in (None, STREAM) else Path(output)
        if one_file and target != STREAM and _identity(target) in everything:
            raise UserError(f"{output}: is the input itself, which is never overwritten")
        if not one_file and isinstance(source, Path):
            first = _target(source, root, output, ending, format, len(inputs) > 1)
            # Another input has that name, or another result: x.jpg and x.png, both to x.png.
            tail = ending if _identity(first) in everything else f"_{source.suffix[1:]}"
            tails = itertools.chain(("", tail), (f"{tail}_{n}" for n in itertools.count(2)))
            names = (first.with_name(f"{first.stem}{tail}{first.suffix}") for tail in tails)
            target = next(name for name in names if _identity(name) not in taken)
            taken.add(_identity(target))
        found.jobs.append(_job(source, target, format))
        suffix, video = Path(source).suffix.lower(), _is_video(source)
        if suffix in (VIDEO_SUFFIXES, IMAGE_SUFFIXES)[video]:
            what = ("an image", "a film")[video]
            found.notes.append(f"{source}: {what} by its content, which its name does not say")
    return found


def _job(source: Path | str, target: Path | str, format: str | None) -> Job:
    wanted = SUFFIX_FORMATS[FORMATS[format]] if format else None
    suffix = Path(target).suffix.lower()
    if _is_video(source) or (suffix in CONTAINERS and _moves(source)):
        if format:
            raise UserError(f"{source}: a film; --format is of images")
        if suffix not in CONTAINERS:
            raise UserError(f"{target}: cannot write a film; use {' '.join(CONTAINERS)}")
        return Job(source, target, True)
    if target == STREAM:
        return Job(source, target, format=wanted)
    moving = suffix not in SUFFIX_FORMATS and suffix in ANIMATED and _moves(source)
    kind = ANIMATED[suffix] if moving else format_of(target)
    if wanted not in (None, kind):
        raise UserError(f"{target}: is not named as --format {format} asks for")
    return Job(source, target, format=kind)


def _sources(inputs: list[str], output: str | None, found: JobList) -> list[Source]:
    """All files, none twice; an output folder within an input one is not searched."""
    sources: dict[tuple, Source] = {}
    real = os.path.realpath(output) if output not in (None, STREAM) else None
    # Where results are to lie among their sources, all are looked at.
    avoid = None if real in map(os.path.realpath, inputs) else real

    def add(path: Path, root: Path | None = None) -> None:
        fault = unreadable(path)
        if fault and not (path.exists() and root is None):  # a pipe that is named is read once
            fault = fault.replace("no such image", "no such file or folder")
            found.missing.append((f"{path}", fault.removeprefix(f"{path}: ").rstrip(".")))
        else:
            sources.setdefault((os.path.realpath(path.parent), path.name), (path, root))

    def say(text: str) -> None:
        films = any(suffix in text for suffix in VIDEO_SUFFIXES)
        found.notes.append(text + "; name a video itself to have it done" * films)

    for text in inputs:
        path = Path(text)
        if text == STREAM:
            sources[STREAM,] = (STREAM, None)
        elif path.is_dir():
            for file in list_images(path, recursive=True, say=say):
                if avoid is None or not os.path.realpath(file).startswith(avoid + os.sep):
                    add(file, path)
        elif not os.path.lexists(path) and glob.has_magic(text):
            matches = map(Path, sorted(glob.glob(text, recursive=True)))
            wanted = [p for p in matches if not p.is_dir() and (is_image(p) or _is_video(p))]
            if not wanted:
                found.missing.append((text, "no image matches this pattern"))
            for match in wanted:
                add(match)
        else:
            add(path)
    return list(sources.values())


def _target(
    source: Path, root: Path | None, output: str | None, suffix: str, format: str | None, many: bool
) -> Path:
    name = source.stem + suffix * (output is None and root is None) + _suffix_of(source, format)
    if root is None:
        return source.with_name(name) if output is None else Path(output) / name
    whole = Path(os.path.abspath(root))
    folder = whole.with_name(f"{whole.name}{suffix}") if output is None else Path(output)
    folder = folder / whole.name if many and output is not None else folder
    return folder / source.relative_to(root).with_name(name)


def _suffix_of(source: Path, format: str | None) -> str:
    suffix = source.suffix.lower()
    if _is_video(source):
        return source.suffix if suffix in CONTAINERS else ".mkv"
    if format is not None:
        same = SUFFIX_FORMATS.get(suffix) == SUFFIX_FORMATS[FORMATS[format]]
        return source.suffix if same else FORMATS[format]
    keeps = suffix in SUFFIX_FORMATS or (suffix in ANIMATED and _moves(source))
    return source.suffix if keeps else ".png"


def _is_one_file(output: str | None, sources: list[Source]) -> bool:
    """Whether ``output`` is a file to write, or standard output, rather than a folder.

    Raises:
        UserError: a folder would get the name of a file, probably a slip of the pen.
    """
    (source, root), alone = sources[0], len(sources) == 1
    if output is None or (output == STREAM and alone):
        return output == STREAM
    if output == STREAM:
        raise UserError(f"{len(sources)} inputs cannot all go to standard output; name a folder")
    folder, suffix = os.path.isdir(output) or output.endswith(os.sep), Path(output).suffix.lower()
    named = suffix in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES) or re.fullmatch(r"\.[a-z]{2,5}", suffix)
    if alone and root is None and (named or source == STREAM) and not folder:
        return True
    if (STREAM, None) in sources:
        raise UserError("'-o' must be a file or '-' where the input is '-'")
    if not folder and (os.path.isfile(output) or suffix in (*SUFFIX_FORMATS, *CONTAINERS)):
        use = f"a folder such as {output}/, or for one image a name such as out.png"
        raise UserError(f"{output}: is a file, or named as one; {len(sources)} results need {use}")
    return False


def _is_own_result(source: Path | str, everything: set) -> bool:
    """``a_x4.png`` where ``a.png`` (or .jpg, ...) is an input, too."""
    path = Path(source)
    match = re.fullmatch(r"(.+)_x\d+(\.\d+)?(_compare)?", path.stem)
    ends = {path.suffix, *IMAGE_SUFFIXES, *VIDEO_SUFFIXES} if match else ()
    return any(_identity(path.with_name(match[1] + end)) in everything for end in ends)


def _is_video(path: Path | str) -> bool:
    """By content; by the name where that says nothing."""
    if not isinstance(path, Path) or not path.is_file():
        return False
    head, suffix = first_bytes(path), path.suffix.lower()
    kind = kind_of(head)
    if is_video(head) or suffix in IMAGE_SUFFIXES or (kind and kind.name != "tga"):
        return is_video(head)
    return suffix in VIDEO_SUFFIXES or is_film(path)


def _moves(source: Path | str) -> bool:
    """Whether an image is animated; False where it cannot be read."""
    with contextlib.suppress(UserError):
        return isinstance(source, Path) and find_animation(source) is not None
    return False


def _identity(path: Path | str) -> tuple:
    """The same for all names of one file."""
    try:
        status = os.stat(path)
        return status.st_dev, status.st_ino
    except OSError:
        return (os.path.realpath(path),)
