"""The page as one self-contained document, and the policy that lets nothing else run in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from superres.serve.uploads import KINDS
from superres.upscaling.writing import FORMATS

_TEMPLATES = Path(__file__).parent / "templates"


def render_page(work: Any, token: str) -> str:
    """The HTML with its style and script inside.

    Args:
        work: :class:`superres.serve.work.Work`: its offers and limits are shown.
        token: that the page sends with every change.
    """
    config = {
        "token": token,
        "models": [
            {"name": offer.name, "scales": offer.choices, "own": offer.scales}
            for offer in work.offers
        ],
        "formats": list(FORMATS),
        "kinds": KINDS,
        "maxBytes": work.limits.upload_bytes,
        "maxPixels": work.limits.pixels,
        "finished": work.limits.finished,
        "kept": work.keep is not None,
    }
    # A name with </script> in it must not end the element that it stands in.
    data = json.dumps(config).replace("<", "\\u003c").replace(">", "\\u003e")
    parts = {
        "css": (_TEMPLATES / "page.css").read_text(encoding="utf-8"),
        "js": (_TEMPLATES / "page.js").read_text(encoding="utf-8"),
        "config": data,
    }
    html = (_TEMPLATES / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{ (css|js|config) \}\}", lambda place: parts[place[1]], html)


def policy(page: str) -> str:
    """The Content-Security-Policy: this page's own script and style by their hashes, no other."""
    script = _hash(re.search(r"<script>(.*?)</script>", page, re.S)[1])
    style = _hash(re.search(r"<style>(.*?)</style>", page, re.S)[1])
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{script}'",
            f"style-src '{style}'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        )
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
