"""The place that images are prepared from: a folder with folders and archives, or an archive.

Archives are extracted before they are looked at: zip by zipfile, tar by tarfile. One is refused as
a whole when any member would lead out of the folder or is a link, and when it holds more than the
disk does.
"""

from __future__ import annotations

import errno
import lzma
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from superres.datasets.pack import make_folder
from superres.errors import UserError
from superres.files import leads_back, lock_target, os_fault

_NOT_READ = (".7z", ".rar", ".tar.zst")
_KINDS = (".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar", *_NOT_READ)
_DEEPEST = 100
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, ValueError)


def archive_stem(name: str) -> str | None:
    """The name of an archive without its suffix; None for what is not an archive."""
    suffix = next((s for s in _KINDS if name.lower().endswith(s)), None)
    return suffix and name[: -len(suffix)]


def extract(archive: Path, folder: Path) -> None:
    """Extract an archive into a folder that is not there yet.

    The files get the archive's time, so that they count as the same ones when extracted again.

    Raises:
        UserError: cut off, damaged, encrypted or hostile; a full disk.
    """
    if archive.name.lower().endswith(_NOT_READ):
        raise UserError(f"{archive}: this kind of archive is not read here; extract it first.")
    try:
        size, time = archive.stat().st_size, archive.stat().st_mtime_ns
        folder.mkdir(parents=True)
        if archive.name.lower().endswith(".zip"):
            _extract_zip(archive, folder)
        else:
            _extract_tar(archive, folder)
        for file in folder.rglob("*"):
            os.utime(file, ns=(time, time))
    except (NotImplementedError, RuntimeError) as error:  # RuntimeError: encrypted
        raise UserError(f"{archive}: {error}. Extract it and give the folder.") from None
    except (*_BROKEN, OSError) as error:
        # gzip and bz2 raise OSErrors without a number for broken data
        if getattr(error, "errno", None) is not None:
            place = archive if error.filename in (None, str(archive)) else folder
            raise UserError(os_fault(place, error, "archive", writing=place == folder)) from None
        text = f"{archive}: not a whole archive ({error}; {size} bytes are there)"
        raise UserError(f"{text}. Its download was interrupted, perhaps: fetch it again.") from None


def _extract_zip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
        for info in members:
            plain = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR)
            info.filename = _checked(archive, info.filename, plain)
        _check_room(archive, folder, sum(info.file_size for info in members))
        opened.extractall(folder, members)


def _extract_tar(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as opened:
        members = opened.getmembers()
        for info in members:
            info.name = _checked(archive, info.name, info.isdir() or info.isreg())
        end = max((info.offset_data + info.size for info in members), default=0)
        if archive.suffix.lower() == ".tar" and archive.stat().st_size - end < tarfile.BLOCKSIZE:
            raise tarfile.ReadError("its end mark is missing")
        _check_room(archive, folder, sum(info.size for info in members))
        opened.extractall(folder, members, filter="data")


def _checked(archive: Path, name: str, plain: bool) -> str:
    """A member's path below the folder that it is extracted to; hostile ones are refused."""
    path = name.replace("\\", "/")  # some old programs write the other slash
    parts = path.split("/")
    fault = ""
    if not plain:
        fault = "is a link, or not a plain file"
    elif path.startswith("/") or ".." in parts or ":" in path[:2] or "\0" in path:
        fault = "would lead out of the folder it is extracted to"
    elif len(parts) > _DEEPEST:
        name, fault = f"{name[:60]}...", f"lies more than {_DEEPEST} folders deep"
    if fault:
        text = f"{archive}: refused, its member {name!r} {fault}"
        raise UserError(f"{text}. No data set needs that: fetch it from the original place.")
    return path


def _check_room(archive: Path, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        place = f"{folder.parent} has {free >> 20} MiB free"
        text = f"{archive}: refused, it takes {needed >> 20} MiB, and {place}"
        raise UserError(f"{text}. Make room, or give another --out")


def hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or a copy that macOS leaves."""
    return name.startswith(".") or name == "__MACOSX"


class Source:
    """A source that is only ever read; leaving it as a context removes what was extracted.

    Args:
        root: a folder, or one archive.
        scratch: a folder for what is only needed on the way, beside the target. What a process
            that was killed left there is removed by the next one.

    Raises:
        UserError: nothing is at ``root``.

    Attributes:
        name: of the folder or archive, as a set can be called.
        tree: the folder with its images, from :meth:`open` on.
        passed_over: names of archives that were not looked into.
    """

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root = self.tree = root
        self.passed_over: list[str] = []
        self._scratch, self._lock = scratch, None
        if not root.exists():
            missing = FileNotFoundError(errno.ENOENT, "")
            raise UserError(os_fault(root, missing, "folder or archive"))
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
            make_folder(self._scratch.parent)
            self._lock = lock_target(self._scratch, "extracting to")
            shutil.rmtree(self._scratch, ignore_errors=True)
        return self._scratch

    def __enter__(self) -> Source:
        return self

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        if self._lock is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._lock.close()
        if isinstance(error, UserError):
            raise UserError(self.with_source(str(error))) from error

    def with_source(self, text: str) -> str:
        """A message in which what was extracted is called as it lies in the source."""
        return text.replace(str(self.tree), str(self.root))

    def open(self, archives: str = "") -> Path:
        """The folder with its images: itself; with archives a copy of links, they extracted.

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
        files = [file for folder in folders(self.root) for file in sorted(folder.iterdir())]
        found = [f for f in files if archive_stem(f.name) and not hidden(f.name) and f.is_file()]
        wanted = [f for f in found if re.search(archives, f.name, re.IGNORECASE)]
        self.passed_over = [file.name for file in found if file not in wanted]
        if wanted:
            self.tree = self.scratch / self.name
            for folder in folders(self.root):
                (self.tree / folder.relative_to(self.root)).mkdir(parents=True)
            for file in files:
                if not file.is_dir() and file not in wanted:
                    (self.tree / file.relative_to(self.root)).symlink_to(file)
            for file in wanted:
                target = self.tree / file.parent.relative_to(self.root) / archive_stem(file.name)
                while target.exists():
                    target = Path(f"{target}_")
                extract(file, target)
        return self.tree


def folders(root: Path) -> Iterator[Path]:
    """A folder and those below it that are not hidden; links are followed, but not back up.

    Raises:
        UserError: one cannot be read.
    """

    def fault(error: OSError) -> None:
        raise UserError(os_fault(error.filename, error, "folder"))

    for path, names, _ in os.walk(root, onerror=fault, followlinks=True):
        names[:] = sorted(n for n in names if not hidden(n) and not leads_back(Path(path, n)))
        yield Path(path)
