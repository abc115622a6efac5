"""What a file says beside its pixels, carried over to its result in whatever format that has."""

from __future__ import annotations

import contextlib
import re
import zlib
from typing import Any, BinaryIO

from PIL import Image, PngImagePlugin

from superres.imaging.io import LoadedImage
from superres.imaging.tiff import with_tags
from superres.upscaling.provenance import EXIF_TAG, with_record

_ORIENTATION, _EXIF_IFD, _WIDTH, _HEIGHT = 274, 0x8769, 0xA002, 0xA003
_LONGEST, _SEGMENTS = 65_500, ("xmp", "iptc", "comment")  # of a JPEG, roughly
_OF_A_TIFF = (*range(256, 260), 262, 273, *range(277, 280), 284, 317, 338, 700, 33723, 34675)
"""Tags that describe the TIFF that an EXIF block came from, and no other file."""
_TO_TIFF = {282: 5, 283: 5, 296: 3, _EXIF_IFD: 4, 0x8825: 4}
"""Tags of EXIF that a TIFF gets beside texts, with their types."""


class Metadata:
    """Of a result of ``size`` (H, W) in format ``kind``, of orientation ``turn``.

    ``record``: how it was made. Fields are None, or empty, where the source has none. Its preview
    is not carried on. ``too_long`` names those that the format holds, but not so much of them.
    """

    def __init__(self, source: LoadedImage, size: tuple, turn: int, record: str, kind: str) -> None:
        info, self.chunks, self.given = source.info, source.png_chunks, source.exif
        self.icc, self.turn, self.record = source.icc, turn, record
        self.dpi = tuple(map(float, dpi)) if (dpi := info.get("dpi")) and all(dpi) else ()
        stated = rb"\g<1>%d" % turn
        self.xmp = re.sub(rb'(tiff:Orientation(?:="|>))[1-8]', stated, _bytes(info.get("xmp")))
        self.iptc = _bytes(info.get("iptc") or dict(info.get("photoshop") or ()).get(0x0404))
        self.comment = _bytes(info.get("comment"))
        self.too_long = [n for n in _SEGMENTS if kind == "jpeg" and len(vars(self)[n]) > _LONGEST]
        self.exif = self._exif(source.exif, size, kind)

    def _exif(self, source: Image.Exif | None, size: tuple[int, int], kind: str) -> bytes:
        """The block with the new size and record; empty where it says nothing."""
        own: dict[int, Any] = {EXIF_TAG: self.record} if self.record else {}
        if kind in ("webp", "tiff"):  # which have no other place for it
            said = filter(None, {_bytes(str((source or {}).get(270, ""))): 0, self.comment: 0})
            own |= {270: text} if (text := b"\n".join(said)) else {}
            own |= {282: self.dpi[0], 283: self.dpi[1], 296: 2} if self.dpi else {}
        # What there is no room for is dropped, the record first.
        for carried, made in ((source, own), (source, {}), (None, own)):
            with contextlib.suppress(Exception):  # Pillow cannot write all that it reads
                (exif := Image.Exif()).load(carried.tobytes() if carried else b"")
                for tag in (*_OF_A_TIFF, EXIF_TAG):
                    exif.pop(tag, None)
                exif.update({_ORIENTATION: self.turn} | made)
                if _EXIF_IFD in exif:
                    exif.get_ifd(_EXIF_IFD).update({_WIDTH: size[1], _HEIGHT: size[0]})
                block = exif.tobytes() if carried or made or self.turn > 1 else b""
                if kind != "jpeg" or len(block) <= _LONGEST:
                    break
        self.too_long += ["given"] * (carried is not source)
        return block

    def options(self, kind: str) -> dict[str, Any]:
        """For Pillow's ``save`` of ``jpeg``, ``webp``, ``gif``, ``bmp`` or ``pnm``."""
        said = with_record(self.comment.decode("latin-1"), self.record * (kind == "gif"))
        found = {"icc_profile": self.icc, "exif": self.exif, "xmp": self.xmp, "dpi": self.dpi}
        found["comment"] = said.encode("latin-1")
        if kind == "jpeg" and 0 < (n := len(iptc := self.iptc)) <= _LONGEST:
            body = b"Photoshop 3.0\x008BIM\4\4\0\0" + n.to_bytes(4, "big") + iptc + bytes(n % 2)
            found["extra"] = b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body
        return {name: value for name, value in found.items() if value and name not in self.too_long}

    def copy(self, kind: str, made: BinaryIO, file: BinaryIO) -> None:
        """An encoded file to another; a PNG and a TIFF, which have none of it yet, with it."""
        file.write(with_tags(made, self._tags()) if kind == "tiff" else b"")
        made.seek(0)
        if kind == "png":
            file.write(made.read(33))  # IHDR
            for chunk in self._chunks():
                PngImagePlugin.putchunk(file, *chunk)
            made.seek(54 if made.read(8)[4:] == b"pHYs" else 33)  # which libvips makes up
        file.writelines(iter(lambda: made.read(1 << 20), b""))

    def _chunks(self) -> list[tuple[bytes, bytes]]:
        """For a PNG, all before the pixels."""
        chunks = [c for c in self.chunks if not (self.icc and c[0] == b"sRGB")]
        profile = self.icc and b"ICC profile\0\0" + zlib.compress(self.icc)
        chunks += [(b"iCCP", profile), (b"eXIf", self.exif.removeprefix(b"Exif\0\0"))]
        if not self.chunks:  # of another format
            metres = [round(dpi / 0.0254).to_bytes(4, "big") for dpi in self.dpi]
            chunks.append((b"pHYs", metres and b"".join(metres) + b"\1"))
            chunks.append((b"iTXt", self.xmp and b"XML:com.adobe.xmp" + bytes(5) + self.xmp))
            chunks.append((b"tEXt", self.comment and b"Comment\0" + self.comment))
        return [chunk for chunk in chunks if chunk[1]]

    def _tags(self) -> list[tuple[int, int, Any]]:
        """(tag, type, values) for a TIFF."""
        (exif := Image.Exif()).load(self.exif)
        found = [(33723, 7, self.iptc), (34675, 7, self.icc), (700, 1, self.xmp)]
        found += [(t, k, exif.get_ifd(t) if k == 4 else exif.get(t)) for t, k in _TO_TIFF.items()]
        found += [(t, 2, _bytes(v)) for t, v in exif.items() if isinstance(v, str)]
        return [(274, 3, (self.turn,)), *(tag for tag in found if tag[2])]


def _bytes(value: str | bytes | None) -> bytes:
    """Of a text as Pillow has it from a file."""
    return value.encode("latin-1", "replace") if isinstance(value, str) else bytes(value or b"")
