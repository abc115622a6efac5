"""What a file says beside its pixels, carried over to its result in whatever format that has."""

from __future__ import annotations

import contextlib
import re
import shutil
import struct
import zlib
from typing import Any, BinaryIO

from PIL import Image, PngImagePlugin

from superres.imaging.io import Picture
from superres.imaging.tiff import with_tags
from superres.upscaling.provenance import EXIF_TAG, with_record

_ORIENTATION, _EXIF_IFD, _WIDTH, _HEIGHT = 274, 0x8769, 0xA002, 0xA003
_LONGEST = 65_500  # a JPEG's segment, roughly
_OF_A_TIFF = (*range(256, 260), 262, 273, *range(277, 280), 284, 317, 338, 700, 33723, 34675)
"""Tags that describe the TIFF that an EXIF block came from, and no other file."""


class Metadata:
    """Of a result of ``size`` (H, W), stored under ``orientation``; ``record``: how it was made.

    The fields are None, or empty, where the source has none. Its preview is not carried on.
    """

    def __init__(
        self, source: Picture, size: tuple[int, int], orientation: int, record: str | None
    ) -> None:
        info, exif, self.chunks = source.info, source.exif or {}, source.png_chunks
        self.icc, self.orientation, self.record = source.icc, orientation, record or ""
        self.dpi = tuple(map(float, dpi)) if (dpi := info.get("dpi")) and all(dpi) else ()
        turn = rb"\g<1>%d" % orientation
        self.xmp = re.sub(rb'(tiff:Orientation(?:="|>))[1-8]', turn, _bytes(info.get("xmp")))
        self.iptc = _bytes(info.get("iptc") or dict(info.get("photoshop") or ()).get(0x0404))
        self.comment = _bytes(*map(info.get, ("comment", "Comment", "Description")))
        self.texts = [(t, 2, v) for t, v in exif.items() if t > 270 and isinstance(v, str)]
        self.exif = self._exif(source.exif, size)

    def _exif(self, source: Image.Exif | None, size: tuple[int, int]) -> bytes | None:
        """The block with the new size and record; None where it cannot be written, or is empty."""
        # What there is no room for is dropped, the record first.
        own = {EXIF_TAG: self.record} if self.record else {}
        for carried, made in ((source, own), (source, {}), (None, own)):
            with contextlib.suppress(Exception):  # Pillow cannot write all that it reads
                exif = Image.Exif()
                exif.load(carried.tobytes() if carried else b"")
                for tag in (*_OF_A_TIFF, EXIF_TAG):
                    exif.pop(tag, None)
                exif.update({_ORIENTATION: self.orientation} | made)
                if _EXIF_IFD in exif:
                    exif.get_ifd(_EXIF_IFD).update({_WIDTH: size[1], _HEIGHT: size[0]})
                block = exif.tobytes()
                if (carried or made or self.orientation != 1) and len(block) <= _LONGEST:
                    return block
        return None

    def options(self, kind: str) -> dict[str, Any]:
        """For Pillow's ``save`` of ``jpeg``, ``webp``, ``gif``, ``bmp`` or ``pnm``."""
        found = {"icc_profile": self.icc, "exif": self.exif, "xmp": self.xmp}
        said = with_record(self.comment.decode("latin-1"), self.record * (kind == "gif"))
        found |= {"dpi": self.dpi, "comment": said.encode("latin-1")}
        if kind == "jpeg" and 0 < (n := len(self.iptc)) < _LONGEST:
            body = b"Photoshop 3.0\x008BIM\4\4\0\0" + struct.pack(f">I{n + n % 2}s", n, self.iptc)
            found["extra"] = b"\xff\xed" + struct.pack(">H", len(body) + 2) + body
        return {name: value for name, value in found.items() if value}

    def copy(self, kind: str, made: BinaryIO, file: BinaryIO) -> None:
        """An encoded file to another; a PNG and a TIFF, which have none of it yet, with it."""
        if kind == "tiff":
            file.write(with_tags(made, self._tags()))
        made.seek(0)
        if kind == "png":
            head = made.read(54)  # IHDR, and a resolution that libvips makes up
            file.write(head[:33])
            for chunk in self._chunks():
                PngImagePlugin.putchunk(file, *chunk)
            file.write(b"" if head[37:41] == b"pHYs" else head[33:])
        shutil.copyfileobj(made, file, 1 << 20)

    def _chunks(self) -> list[tuple[bytes, bytes]]:
        """For a PNG, all before the pixels."""
        chunks = [c for c in self.chunks if not (self.icc and c[0] == b"sRGB")]
        profile = self.icc and b"ICC profile\0\0" + zlib.compress(self.icc)
        chunks += [(b"iCCP", profile), (b"eXIf", (self.exif or b"").removeprefix(b"Exif\0\0"))]
        if not self.chunks:  # of another format
            metres = [round(dpi / 0.0254) for dpi in self.dpi]
            chunks.append((b"pHYs", metres and struct.pack(">IIB", *metres, 1)))
            chunks.append((b"iTXt", self.xmp and b"XML:com.adobe.xmp" + bytes(5) + self.xmp))
            chunks.append((b"tEXt", self.comment and b"Comment\0" + self.comment))
        return [chunk for chunk in chunks if chunk[1]]

    def _tags(self) -> list[tuple[int, int, Any]]:
        """(tag, type, values) for a TIFF; of EXIF the texts."""
        found = [(11, 2, self.record), (33723, 7, self.iptc), (34675, 7, self.icc), *self.texts]
        found += [(700, 1, self.xmp), (270, 2, self.comment.decode("ascii", "replace"))]
        found += [(282, 5, self.dpi[:1]), (283, 5, self.dpi[1:]), (296, 3, self.dpi and (2,))]
        return [(274, 3, (self.orientation,)), *(tag for tag in found if tag[2])]


def _bytes(*values: str | bytes | None) -> bytes:
    """The first that is not empty."""
    value = next(filter(None, values), b"")
    return value.encode() if isinstance(value, str) else bytes(value)
