"""Drawn figures, small enough for a page that holds all of them."""

import bench.report.matplotlib_alone  # noqa: F401  (before anything else imports matplotlib)

# isort: split
import base64
import io
from functools import lru_cache

import numpy as np
from matplotlib.markers import MarkerStyle
from PIL import Image

SCALE = 0.6
"""Of the width and height of the file beside the page: at 200 points an inch, 120, which screens show sharp."""
COLOURS = 32
"""A figure has a dozen, and their blends with white."""


def embedded(png: bytes) -> str:
    """A picture as a data address, an eighth of the size of the file that it is made from."""
    with Image.open(io.BytesIO(png)) as picture:
        size = [max(1, round(SCALE * side)) for side in picture.size]
        small = picture.convert("RGB").resize((size[0], size[1]), Image.Resampling.HAMMING)
    buffer = io.BytesIO()
    small.quantize(COLOURS, Image.Quantize.FASTOCTREE).save(buffer, "png", compress_level=6)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


@lru_cache(maxsize=64)
def outline(marker: str) -> str:
    """A marker of matplotlib as the path of an SVG, within -1 and 1."""
    shape = MarkerStyle(marker)
    parts = shape.get_path().transformed(shape.get_transform()).to_polygons(closed_only=False)
    lines = ("L".join(f"{2 * x:.3g},{-2 * y:.3g}" for x, y in np.asarray(part).tolist()) for part in parts)
    return "".join(f"M{line}Z" for line in lines)
