"""The place that pictures are prepared from: a folder with folders and archives, or an archive."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

from superres.datasets.prepare.archives import (
    NOT_READ,
    PACKED_TAR,
    PLAIN_TAR,
    archive_stem,
    tar_entries,
    zip_entries,
)
from superres.datasets.prepare.entries import Entry, FileEntry
from superres.datasets.prepare.extract import extracted_entries
from superres.errors import UserError
from superres.files import os_fault, unreadable
from superres.imaging.listing import is_image, left_out_note


class Source:
    """A source that is only ever read.

    Args:
        root: a folder, or one archive.
        scratch: where a compressed tar may be extracted; made when needed.

    Raises:
        UserError: there is nothing at ``root``.

    Attributes:
        notes: what was passed over, for the report.
    """

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root = Path(os.path.abspath(root))
        self.scratch = scratch
        self.notes: list[str] = []
        self.passed_over: list[Path] = []
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
        if self.root.is_file():
            return self._archive(self.root, archive_stem(self.root.name))
        entries: list[Entry] = []
        found: list[tuple[str, Path]] = []
        self._walk(self.root, self.root.name, entries, found, set())
        for path, file in found:
            if re.search(archives, file.name, re.IGNORECASE):
                entries += self._archive(file, path)
            else:
                self.passed_over.append(file)
        return entries

    def _walk(
        self,
        folder: Path,
        path: str,
        entries: list[Entry],
        archives: list[tuple[str, Path]],
        above: set[tuple[int, int]],
    ) -> None:
        try:
            status = os.stat(folder)
            here = (status.st_dev, status.st_ino)
            if here in above:  # a link that leads back up
                return
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
                self._walk(Path(item.path), below, entries, archives, above | {here})
            elif item.is_file() and (stem := archive_stem(item.name)) is not None:
                archives.append((f"{path}/{stem}", Path(item.path)))
            elif is_image(item.path, left_out):
                if fault := unreadable(item.path):
                    raise UserError(f"{fault} Mend or remove it; it is not left out silently.")
                entries.append(FileEntry(below, Path(item.path)))
        if left_out:
            self._note(f"{folder}: {left_out_note(left_out)}")

    def _note(self, text: str) -> None:
        if text not in self.notes:  # a recipe may look twice
            self.notes.append(text)

    def _archive(self, file: Path, prefix: str) -> list[Entry]:
        name = file.name.lower()
        if name.endswith(NOT_READ):
            raise UserError(f"{file}: this kind of archive is not read here; extract it first.")
        if name.endswith(PACKED_TAR):
            return extracted_entries(file, prefix, self.scratch)
        entries = (
            tar_entries(file, prefix) if name.endswith(PLAIN_TAR) else zip_entries(file, prefix)
        )
        return sorted(entries, key=lambda entry: os.fsencode(entry.path))
