"""From records to what is compared: the files of a report, as texts that a reader can read."""

import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from matplotlib.figure import Figure
from PIL import Image

from bench.report.output import write
from bench.report.pictures import embedded
from tests.bench.golden.runs import MIXED, QUICK, TOYS

EXPECTED = Path(__file__).parent / "expected"
RUNS = {"quick": QUICK, "toys": TOYS, "mixed": MIXED}
TITLE = 'Golden & "round" <numbers>'
NOTES = ["Left out: 1 % of x_1 & <b>.", "A second note."]
TABLES = ("variance", "bias", "elbo", "time")


def _picture() -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (10, 10), "#123456").save(buffer, "png")
    return buffer.getvalue()


DRAWN = _picture()
"""In place of every figure."""


def undrawn(figure: Figure, target: BytesIO, **options: Any) -> None:
    """In place of `savefig`: what a figure shows is not tested here."""
    target.write(DRAWN)


def publish(run: str, out: Path) -> Path:
    """Write the report of a run, its figures without their contents."""
    with patch.object(Figure, "savefig", undrawn):
        write(RUNS[run], out, {"md", "tex", "html", "png"}, title=TITLE, notes=NOTES)
    return out


class Outline(HTMLParser):
    """A page as its tags, a line each, with their texts; pictures, scripts and captions of figures left out.

    So are numbers in full, by which cells are sorted: another machine may round their last digit otherwise.

    A sign that was not escaped would be a tag of its own here.
    """

    INLINE = ("a", "code", "strong", "span", "td", "th", "dd", "br", "label", "select", "option", "input", "output")

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[str] = []
        self.captions: list[str] = []
        self.within: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {
            key: value
            for key, value in attrs
            if (tag, key) not in (("img", "src"), ("meta", "content"), ("td", "data-order"))
        }
        shown = "".join(f" {key}" if value is None else f" {key}={value}" for key, value in named.items())
        if tag in self.INLINE:
            self.lines[-1] += f"<{tag}{shown}>"
        else:
            self.lines.append(f"{'  ' * len(self.within)}<{tag}{shown}>")
        if tag == "img":
            assert dict(attrs)["src"] == embedded(DRAWN)
        if tag not in ("img", "meta", "br", "input"):
            self.within.append(tag)
        if tag == "figcaption":
            self.captions.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.within.pop() == tag
        if tag in ("a", "code", "strong"):
            self.lines[-1] += f"</{tag}>"

    def handle_data(self, data: str) -> None:
        text = re.sub(r"\s+", " ", data)
        match self.within[-1:]:
            case [] | ["style"] | ["script"]:
                return
            case ["figcaption"]:
                self.captions[-1] += text
            case _ if text.strip() or self.within[-1] in ("p", "li"):
                self.lines[-1] += text


def outline(page: str) -> str:
    return "\n".join(line.rstrip() for line in Outline(page).lines) + "\n"


def printed(folder: Path, table: str) -> list[dict[str, str]]:
    """The rows of a Markdown table, over its sections; marks that only escape are taken away."""
    rows, titles = [], None
    for line in (folder / "tables" / f"{table}.md").read_text().splitlines():
        parts = [re.sub(r"\\(.)", r"\1", part.strip()) for part in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not parts:
            titles = None
        elif titles is None:
            titles = parts
        elif not set("".join(parts)) <= set(":-"):
            rows.append(dict(zip(titles, parts, strict=True)))
    return rows


def texts(run: str, folder: Path) -> dict[str, str]:
    """What is compared whole, by the file in `expected/` that holds it; a csv's numbers are computed anew instead."""
    tables = ("variance", "bias") if run == "toys" else TABLES
    endings = ("md",) if run == "mixed" else ("md", "tex")
    found = {f"{run}/{table}.{ending}": (folder / "tables" / f"{table}.{ending}").read_text()
             for table in tables for ending in endings}  # fmt: skip
    if run == "quick":
        found["quick/report.txt"] = outline((folder / "report.html").read_text())
    return found
