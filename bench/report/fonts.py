"""The font of the figures: DejaVu Sans, as it comes with matplotlib, cut down to what reports use.

Embedding a font in a PDF means cutting it down anew for every figure, and most of that time goes into tables
of the whole font that no figure needs. Doing it once a process halves the time that figures take.
"""

import bench.report.matplotlib_alone  # noqa: F401  (before anything else imports matplotlib)

# isort: split
import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from fontTools import subset  # type: ignore[import-untyped]  # it ships no types
from matplotlib import font_manager

_FAMILY = "Report Sans"
_CHARACTERS = "".join(chr(code) for code in range(32, 127)) + "\u00a0\u00b2\u00b1\u00d7\u2020\u2212\u221e"


def upright(families: list[str], size: float) -> font_manager.FontProperties:
    """The upright font of ordinary weight, of a size in points; what is not said here a matplotlibrc would decide."""
    return font_manager.FontProperties(
        family=families, style="normal", variant="normal", weight="normal", stretch="normal", size=size
    )


@functools.cache
def families() -> list[str]:
    """Families to look a character up in, in order: the small font, then the whole one for what it lacks."""
    options = subset.Options(layout_features=[], hinting=False, notdef_outline=True, name_IDs=[])
    options.drop_tables += ["FFTM"]  # a note of the font's editor
    # No TemporaryDirectory, which a fork that forgets what is to be done at its exit would remove under its parent.
    folder = tempfile.mkdtemp(prefix="gradest-font-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # figures read the file for as long as it draws
    path = Path(folder) / "report-sans.ttf"
    with subset.load_font(font_manager.findfont(upright(["DejaVu Sans"], 10)), options) as font:
        cutter = subset.Subsetter(options)
        cutter.populate(text=_CHARACTERS)
        cutter.subset(font)
        for number, text in ((1, _FAMILY), (2, "Book"), (4, _FAMILY), (6, _FAMILY.replace(" ", ""))):
            font["name"].setName(text, number, 3, 1, 0x409)
        font.save(path)
    font_manager.fontManager.addfont(path)
    return [_FAMILY, "DejaVu Sans"]
