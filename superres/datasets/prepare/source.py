"""The place that pictures are prepared from: a folder with folders and archives, or an archive."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from superres.datasets.prepare.archives import archive_stem, extract
from superres.errors import UserError
from superres.files import Lock, lock_target, os_fault, unreadable
from superres.imaging.listing import is_image, left_out_note


@dataclass(frozen=True)
class Entry:
    """One picture of the source.

    Attributes:
        path: below the source, ``/`` between the parts. Starts with the source's own name, and
            an archive counts as a folder called like it without its suffix: recipes go by these.
        file: the picture on disk.
    """

    path: str
    file: Path

    @property
    def folders(self) -> tuple[str, ...]:
        """The parts of the path above the picture."""
        return PurePosixPath(self.path).parts[:-1]

    @property
    def stem(self) -> str:
        """The picture's name without its suffix."""
        return PurePosixPath(self.path).stem


class Scratch:
    """A folder beside the target for what is only needed on the way; gone when it is left.

    What a process that was killed left there is removed by the next one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: Lock | None = None

    @property
    def folder(self) -> Path:
        """The folder, made when first asked for.

        Raises:
            UserError: another process uses it; a read-only place.
        """
        if self._lock is None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(os_fault(self._path, error, "folder", writing=True)) from None
            self._lock = lock_target(self._path, "extracting to")
            shutil.rmtree(self._path, ignore_errors=True)
        return self._path

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            shutil.rmtree(self._path, ignore_errors=True)
            self._lock.release()


class Source:
    """A source that is only ever read.

    Args:
        root: a folder, or one archive.
        scratch: where archives are extracted.

    Raises:
        UserError: there is nothing at ``root``.

    Attributes:
        notes: what was passed over, for the report.
        passed_over: archives that were not looked into.
        bases: the folders that the pictures lie below: the root, and where archives were
            extracted, which is as they lie below the root.
    """

    def __init__(self, root: Path, scratch: Scratch) -> None:
        self.root = Path(os.path.abspath(root))
        self.scratch = scratch
        self.notes: list[str] = []
        self.passed_over: list[Path] = []
        self.bases: list[Path] = []
        if not self.root.exists():
            raise UserError(f"{root}: no such folder or archive (--root).")
        if self.root.is_file() and archive_stem(self.root.name) is None:
            raise UserError(f"{root}: neither a folder nor a zip or tar file (--root).")

    def pictures(self, archives: str = "") -> list[Entry]:
        """All pictures, those in folders before those in archives, each sorted by path.

        Args:
            archives: archives whose names match this pattern (anywhere, any case) are looked
                into. One that is given as ``root`` always is.

        Raises:
            UserError: a folder or archive cannot be read, or an archive is hostile.
        """
        entries: list[Entry] = []
        if self.root.is_file():
            found, archives = [(archive_stem(self.root.name), self.root)], ""
        else:
            entries, found = self._walk(self.root, self.root.name, set())
        self.bases = [self.root] if entries else []
        for path, file in found:
            if not re.search(archives, file.name, re.IGNORECASE):
                self.passed_over.append(file)
                continue
            extract(file, self.scratch.folder / path)
            entries += self._walk(self.scratch.folder / path, path, set())[0]
            base = self.scratch.folder / path.partition("/")[0]
            self.bases += [base] if base not in self.bases else []
        return entries

    def _walk(
        self, folder: Path, path: str, above: set[tuple[int, int]]
    ) -> tuple[list[Entry], list[tuple[str, Path]]]:
        """The pictures and the archives in a folder and below it."""
        entries: list[Entry] = []
        archives: list[tuple[str, Path]] = []
        try:
            status = os.stat(folder)
            here = (status.st_dev, status.st_ino)
            if here in above:  # a link that leads back up
                return entries, archives
            with os.scandir(folder) as listed:
                items = sorted(listed, key=lambda item: os.fsencode(item.name))
        except OSError as error:
            raise UserError(os_fault(folder, error, "folder")) from None
        left_out: Counter[str] = Counter()
        for item in items:
            if item.name.startswith(".") or item.name == "__MACOSX":
                continue
            below = f"{path}/{item.name}"
            if item.is_dir():
                inside = self._walk(Path(item.path), below, above | {here})
                entries += inside[0]
                archives += inside[1]
            elif item.is_file() and (stem := archive_stem(item.name)) is not None:
                archives.append((f"{path}/{stem}", Path(item.path)))
            elif is_image(item.path, left_out):
                if fault := unreadable(item.path):
                    raise UserError(f"{fault} Mend or remove it; it is not left out silently.")
                entries.append(Entry(below, Path(item.path)))
        note = f"{folder}: {left_out_note(left_out)}"
        if left_out and note not in self.notes:  # a recipe may look twice
            self.notes.append(note)
        return entries, archives
