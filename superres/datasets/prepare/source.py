"""The place that pictures are prepared from: a folder with folders and archives, or an archive."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from superres.datasets.layouts import refuse_dead_link
from superres.datasets.prepare.archives import archive_stem, extract, hidden
from superres.errors import UserError
from superres.files import is_folder, lock_target, os_fault


class Source:
    """A source that is only ever read; leaving it as a context removes what was extracted.

    Args:
        root: a folder, or one archive.
        scratch: a folder for what is only needed on the way, beside the target. What a process
            that was killed left there is removed by the next one.

    Raises:
        UserError: there is nothing at ``root``.

    Attributes:
        name: of the folder or archive, as a set can be called.
        tree: the folder with its pictures, from :meth:`open` on.
        passed_over: archives that were not looked into.
    """

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root = self.tree = root
        self.passed_over: list[Path] = []
        self._scratch, self._lock = scratch, None
        refuse_dead_link(root)
        if not root.exists():
            raise UserError(f"{root}: no such folder or archive (--root).")
        stem = archive_stem(root.name) if root.is_file() else root.name
        if stem is None:
            raise UserError(f"{root}: neither a folder nor a zip or tar file (--root).")
        self.name = re.sub(r"[/\\]+", "_", stem) or "pictures"

    @property
    def scratch(self) -> Path:
        """The folder, made when first asked for.

        Raises:
            UserError: another process uses it; a read-only place.
        """
        if self._lock is None:
            try:
                self._scratch.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(os_fault(self._scratch, error, "folder", writing=True)) from None
            self._lock = lock_target(self._scratch, "extracting to")
            shutil.rmtree(self._scratch, ignore_errors=True)
        return self._scratch

    def __enter__(self) -> Source:
        return self

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        if self._lock is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._lock.release()
        if isinstance(error, UserError):
            raise UserError(self.told(str(error))) from error

    def told(self, text: str) -> str:
        """A message in which what was extracted is called as it lies in the source."""
        return text.replace(str(self.tree), str(self.root))

    def open(self, archives: str = "") -> Path:
        """The folder with its pictures: itself; with archives a copy of links, they extracted.

        Args:
            archives: those whose names match this pattern (anywhere, any case) are looked into;
                one that is given as ``root`` always is.

        Raises:
            UserError: a folder or archive cannot be read, or an archive is hostile.
        """
        if self.root.is_file():
            self.tree = self.scratch / self.name
            extract(self.root, self.tree)
            return self.tree
        found = [
            file
            for folder in folders(self.root)
            for file in sorted(folder.iterdir())
            if archive_stem(file.name) is not None and not hidden(file.name) and file.is_file()
        ]
        wanted = {f for f in found if re.search(archives, f.name, re.IGNORECASE)}
        self.passed_over = [file for file in found if file not in wanted]
        if wanted:
            self.tree = self.scratch / self.name
            for folder in folders(self.root):
                self._link(folder, wanted)
            for file in sorted(wanted):
                extract(file, self.tree / file.parent.relative_to(self.root))
        return self.tree

    def _link(self, folder: Path, wanted: set[Path]) -> None:
        target = self.tree / folder.relative_to(self.root)
        target.mkdir(parents=True)
        with os.scandir(folder) as entries:
            for entry in entries:
                if not is_folder(entry) and Path(entry.path) not in wanted:
                    os.symlink(entry.path, target / entry.name)

    def nothing(self, what: str) -> UserError:
        """The message for a source without the pictures that a recipe is about."""
        passed = ", ".join(file.name for file in self.passed_over[:5])
        others = f" Archives not looked into because of their names: {passed}." if passed else ""
        return UserError(f"{self.root}: no {what} here or below it.{others}")


def folders(root: Path) -> Iterator[Path]:
    """A folder and those below it that are not hidden; links are followed, but not back up.

    Raises:
        UserError: one cannot be read.
    """

    def fault(error: OSError) -> None:
        raise UserError(os_fault(error.filename, error, "folder"))

    for path, names, _ in os.walk(root, onerror=fault, followlinks=True):
        here = Path(path).resolve()
        names[:] = sorted(
            n for n in names if not hidden(n) and not here.is_relative_to(Path(path, n).resolve())
        )
        yield Path(path)
