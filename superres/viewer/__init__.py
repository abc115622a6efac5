"""The viewer of reports, comparisons and ``superres serve``: ``viewer.js`` and ``viewer.css``.

``new Viewer(element).show({width, height, layers: [[label, address], ...]})`` shows two layers of
an image on both sides of a line, with zoom, pan and their difference.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
