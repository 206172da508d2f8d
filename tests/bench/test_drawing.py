"""Figures as files."""

import warnings
from types import SimpleNamespace
from typing import cast

from matplotlib.figure import Figure

from bench.report import drawing
from bench.report.figures.canvas import Plot


def test_a_label_in_characters_that_the_font_lacks_is_drawn_without_a_word() -> None:
    """As boxes: a warning for each character of each file would bury what a run says."""

    def draw() -> Figure:
        figure = Figure(figsize=(1, 1))
        figure.text(0, 0, "αé漢字")
        return figure

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        (found,) = drawing.files([cast(Plot, SimpleNamespace(draw=draw))], ["png", "svg"])
    assert found["png"].startswith(b"\x89PNG")
    assert found["svg"]
    assert not warned
