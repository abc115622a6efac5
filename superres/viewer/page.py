"""A page of pairs of images, each in a viewer; one file that needs no other."""

from __future__ import annotations

import html
from collections.abc import Iterable

from superres.viewer import FOLDER

# Without JavaScript the images stand one below the other.
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Before and after</title>
<meta name="viewport" content="width=device-width"><style>
@LOOK@
body{max-width:84rem} h2{font-size:1rem;margin:2rem 0 0} .images>img{display:block;width:100%}
</style></head><body><h1>Before and after</h1>
<p class="note">Left: the image as it was, upscaled by the browser. Right: the result.</p>
@BODY@
<script>
@SCRIPT@
for (const root of document.querySelectorAll(".images")) {
  const images = [...root.querySelectorAll("img")];
  addEventListener("load", () => {
    const { naturalWidth: width, naturalHeight: height } = images[1];
    root.replaceChildren();
    new Viewer(root).show({ width, height, layers: images.map(({ alt, src }) => [alt, src]) });
  });
}
</script></body></html>
"""


def pairs_page(sections: Iterable[tuple[str, str, list[tuple[str, str]]]]) -> str:
    """The HTML for (title, what is known of it, [(label, address of an image), ...])."""
    parts = []
    for title, note, images in sections:
        shown = "".join(f'<img alt="{label}" src="{address}">' for label, address in images)
        head = f"<h2>{html.escape(title)}</h2><p class=note>{note}</p>"
        parts.append(f"<section>{head}<div class=images>{shown}</div></section>")
    look, script = ((FOLDER / f"viewer.{kind}").read_text("utf-8") for kind in ("css", "js"))
    page = _PAGE.replace("@LOOK@", look).replace("@SCRIPT@", script)
    return page.replace("@BODY@", "\n".join(parts))
