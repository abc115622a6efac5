"""What a file says beside its pixels, carried over to its result in whatever format that has."""

from __future__ import annotations

import contextlib
import re
import shutil
import struct
import zlib
from typing import Any, BinaryIO

from PIL import Image

from superres.imaging.io import Picture
from superres.imaging.tiff import add_tags
from superres.upscaling.provenance import EXIF_TAG

_ORIENTATION, _EXIF_IFD, _WIDTH, _HEIGHT = 274, 0x8769, 0xA002, 0xA003
_LONGEST = 65_000  # a JPEG's segment, roughly
_OF_A_TIFF = (*range(256, 260), 262, 273, *range(277, 280), 284, 317, 338, 700, 33723, 34675)
"""Tags that describe the TIFF that an EXIF block came from, and no other file."""


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value or b"")


class Metadata:
    """Of a result of ``size`` (H, W), stored under ``orientation``; ``record``: how it was made.

    The fields are None, or empty, where the source has none. Its preview is not carried on.
    """

    def __init__(
        self, source: Picture, size: tuple[int, int], orientation: int, record: str | None
    ) -> None:
        info, self.chunks = source.info, source.png_chunks
        self.icc, self.orientation, self.record = source.icc, orientation, record
        self.dpi = tuple(map(float, dpi)) if (dpi := info.get("dpi")) and all(dpi) else None
        turn = rb"\g<1>%d" % orientation
        self.xmp = re.sub(rb'(tiff:Orientation(?:="|>))[1-8]', turn, _bytes(info.get("xmp")))
        self.iptc = _bytes(info.get("iptc") or dict(info.get("photoshop") or ()).get(0x0404))
        notes = (info.get(key) for key in ("comment", "Comment", "Description"))
        self.comment = _bytes(next(filter(None, notes), None))
        texts = {tag: (source.exif or {}).get(tag) for tag in (271, 272, 305, 306, 315, 33432)}
        self.texts = {tag: text for tag, text in texts.items() if isinstance(text, str)}
        # What there is no room for is dropped, the record first.
        tries = ((source.exif, record), (source.exif, None), (None, record))
        self.exif = next((e for pair in tries if (e := self._exif(*pair, size))), None)

    def _exif(
        self, carried: Image.Exif | None, record: str | None, size: tuple[int, int]
    ) -> bytes | None:
        """The block with the new size and record; None where it cannot be written, or is empty."""
        empty = carried is None and self.orientation == 1 and record is None
        with contextlib.suppress(Exception):  # Pillow cannot write all that it reads
            exif = Image.Exif()
            exif.load(carried.tobytes() if carried is not None else b"")
            for tag in (*_OF_A_TIFF, EXIF_TAG):
                exif.pop(tag, None)
            exif.update({_ORIENTATION: self.orientation} | ({EXIF_TAG: record} if record else {}))
            details = exif.get_ifd(_EXIF_IFD) if _EXIF_IFD in exif else {}
            if _WIDTH in details:
                details[_WIDTH], details[_HEIGHT] = size[1], size[0]
            block = b"" if empty else exif.tobytes()
            return block if len(block) <= (_LONGEST if record else 65_500) else None
        return None

    def options(self, kind: str) -> dict[str, Any]:
        """For Pillow's ``save`` of ``jpeg``, ``webp``, ``bmp`` or ``pnm``."""
        found = {"icc_profile": self.icc, "exif": self.exif, "xmp": self.xmp}
        found |= {"dpi": self.dpi, "comment": self.comment} if kind != "webp" else {}
        found = {name: value for name, value in found.items() if value}
        if kind == "jpeg" and self.iptc and len(self.iptc) < _LONGEST:
            body = b"Photoshop 3.0\0" + b"8BIM\4\4\0\0" + struct.pack(">I", len(self.iptc))
            body += self.iptc + b"\0" * (len(self.iptc) % 2)
            found["extra"] = b"\xff\xed" + struct.pack(">H", len(body) + 2) + body
        return found

    def copy(self, kind: str, made: BinaryIO, file: BinaryIO) -> None:
        """An encoded file to another; a PNG and a TIFF, which have none of it yet, with it."""
        if kind == "tiff":
            add_tags(made, self._tags())
        made.seek(0)
        if kind == "png":
            head = made.read(54)  # IHDR, and a resolution that libvips makes up
            file.write(head[:33] + self._chunks() + (b"" if head[37:41] == b"pHYs" else head[33:]))
        shutil.copyfileobj(made, file, 1 << 20)

    def _chunks(self) -> bytes:
        """For a PNG, all before the pixels."""
        chunks = [c for c in self.chunks if not (self.icc and c[0] == b"sRGB")]
        dpi = [round(d / 0.0254) for d in self.dpi or ()]  # per metre
        fresh = {
            b"iCCP": self.icc and b"ICC profile\0\0" + zlib.compress(self.icc),
            b"eXIf": self.exif and self.exif.removeprefix(b"Exif\0\0"),
        }
        if not self.chunks:  # of another format
            fresh[b"pHYs"] = dpi and struct.pack(">IIB", *dpi, 1)
            fresh[b"iTXt"] = self.xmp and b"XML:com.adobe.xmp" + bytes(5) + self.xmp
            fresh[b"tEXt"] = self.comment and b"Comment\0" + self.comment
        return b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in (*chunks, *fresh.items())
            if body
        )

    def _tags(self) -> list[tuple[int, int, Any]]:
        """(tag, type, values) for a TIFF; of EXIF the texts."""
        found = [(11, 2, self.record), (33723, 7, self.iptc), (34675, 7, self.icc)]
        found += [(tag, 2, text) for tag, text in self.texts.items()]
        found += [(700, 1, self.xmp), (270, 2, self.comment.decode("ascii", "replace"))]
        dpi = self.dpi or ()
        found += [(282, 5, dpi[:1]), (283, 5, dpi[1:]), (296, 3, (2,) * bool(dpi))]
        return [(274, 3, (self.orientation,)), *(tag for tag in found if tag[2])]
