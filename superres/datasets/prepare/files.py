"""``--format folder``: PNG files instead of a database, with the same promises.

Files go to ``<folder>.partial``, which becomes ``<folder>`` when all are there. A hidden file in
it keeps what each picture was made from, so that a later run continues or finds nothing to do.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

from superres.datasets.pack import PackReport, Progress
from superres.datasets.prepare.making import WritingSource, fault_of
from superres.datasets.storage.pool import load_in_order
from superres.datasets.storage.sources import PackSource
from superres.errors import UserError
from superres.files import lock_target, os_fault

_STAMPS = ".made_from.jsonl"


def write_files(
    source: PackSource,
    target: Path,
    suffix: str = "",
    *,
    num_workers: int | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
    strict: bool = True,
    info: dict | None = None,
) -> PackReport:
    """Write all pictures of a source as PNG files into ``target``.

    Args:
        suffix: of the names before ``.png``, such as ``x2``.
        num_workers, progress, overwrite, strict: as for
            :func:`superres.datasets.pack.pack_images`.
        info: what the pictures depend on besides their source.

    Raises:
        UserError: as pack_images.
    """
    started = time.monotonic()
    report = PackReport(target)
    stamps = {
        source.names[i]: source.stamp(i).decode("utf-8", "surrogateescape")
        for i in range(len(source.names))
    }
    info = json.loads(json.dumps(info or {}))
    if target.exists():
        made_with, made = _read_stamps(target)
        if made_with == info and made == stamps and not overwrite:
            report.count = report.reused = len(made)
            report.notes.append("already there and up to date")
            return report
        if not overwrite:
            raise UserError(
                f"{target}: already there, and not what would be made now ({len(stamps)} "
                "pictures). Choose another target, or ask to overwrite it (--overwrite)."
            )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(os_fault(target, error, "folder", writing=True)) from None
    lock = lock_target(target, "writing to")
    try:
        _write(source, target, suffix, stamps, info, num_workers, progress, strict, report)
        if target.exists():
            old = target.with_name(f"{target.name}.replaced-{os.getpid()}")
            os.rename(target, old)
            shutil.rmtree(old)
        os.rename(_partial(target), target)
    except OSError as error:
        raise UserError(os_fault(target, error, "folder", writing=True)) from None
    finally:
        lock.release()
    report.bytes = sum(file.stat().st_size for file in target.rglob("*.png"))
    report.seconds = time.monotonic() - started
    return report


def _partial(target: Path) -> Path:
    return target.with_name(target.name + ".partial")


def _write(
    source: PackSource,
    target: Path,
    suffix: str,
    stamps: dict[str, str],
    info: dict,
    num_workers: int | None,
    progress: Progress | None,
    strict: bool,
    report: PackReport,
) -> None:
    partial = _partial(target)
    partial.mkdir(exist_ok=True)
    writing = WritingSource(source, partial, suffix)
    made_with, made = _read_stamps(partial)
    if made_with != info:
        made = {}
    todo, keep = [], {}
    for i in range(len(writing.names)):
        name = writing.names[i]
        if made.get(name) == stamps[name] and (partial / writing.file_name(i)).exists():
            keep[name] = stamps[name]
        else:
            todo.append(i)
    report.reused = len(keep)
    with open(partial / _STAMPS, "w", encoding="utf-8", errors="surrogateescape") as log:
        for line in ([None, info], *keep.items()):
            log.write(json.dumps(line) + "\n")
        log.flush()
        for i, receipt, _, fault in load_in_order(writing, todo, num_workers):
            name = writing.names[i]
            if receipt is not None and (unwritten := fault_of(receipt)):
                raise UserError(
                    f"{unwritten} {report.reused + report.added} pictures are kept in {partial}; "
                    "make room or put the fault right and run the same command again, it continues."
                )
            if receipt is None:
                report.failed.append((name, fault))
            else:
                report.added += 1
                log.write(json.dumps([name, stamps[name]]) + "\n")
                log.flush()
            if progress is not None:
                progress(report.reused + report.added + len(report.failed), len(stamps), name)
    report.count = report.reused + report.added
    if report.failed and (strict or not report.count):
        shown = "\n".join(f"  {name}: {fault}" for name, fault in report.failed[:20])
        raise UserError(
            f"{target}: not finished, {len(report.failed)} of {len(stamps)} pictures cannot be "
            f"written:\n{shown}\nThe others are kept. Put these right and run the same command "
            "again."
        )
    wanted = {writing.file_name(i) for i in range(len(writing.names))} | {_STAMPS}
    for file in [f for f in partial.rglob("*") if f.is_file()]:
        if file.relative_to(partial).as_posix() not in wanted:
            file.unlink()  # of an earlier run whose source had other pictures


def _read_stamps(folder: Path) -> tuple[dict | None, dict[str, str]]:
    """What the pictures were made with, and from; a line cut off by a kill does not count."""
    info, made = None, {}
    try:
        lines = (folder / _STAMPS).read_text("utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None, {}
    for line in lines:
        try:
            name, value = json.loads(line)
        except ValueError:
            continue
        if name is None:
            info = value
        else:
            made[name] = value
    return info, made
