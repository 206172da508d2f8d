"""Tables as LaTeX that fits a page of a paper: a chosen few columns, the best in bold, notes below."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.report.tables.best import Best, key
from bench.report.tables.render import escape_tex
from bench.report.tables.view import Column, Row, Section, Table
from bench.report.text import DAGGER
from estimators.errors import BadInput, unknown

WIDTH = 6.5 * 72.27
"""Points between the margins of the page that a table is to fit."""
SAFE = 0.98
"""Of it, since widths are estimated."""
SIZES = (("footnotesize", 8.0), ("scriptsize", 7.0))
"""Of the letters, the larger first, in points."""
GAP = 6.0  # points between two columns
SHORT = 7.0
"""Sizes of a letter; a column of words that is no wider is not broken into lines."""
LONG = 40
"""Rows; more of them go over several pages."""
PACKAGES = "array, booktabs, longtable, threeparttable and threeparttablex"
_NUMBER = re.compile(r"([(<]?\s?-?(?:\d+|∞))(\.\d+)?(e-?\d+)?( %)?(?:\s(.*))?", re.DOTALL)
_DAGGER = escape_tex(DAGGER)
_NARROW, _BROAD = set("ijltfr.,:;|!'()[] "), set("mwMWQOGDHNAVXYUK%=+<>†")


class _Part(NamedTuple):
    """One column of a table as LaTeX has it: of a number that which comes before its point, that after, the rest."""

    cells: list[str]
    spec: str


def chosen(tables: Sequence[Table], words: Sequence[str]) -> None:
    """Refuse columns that no table has.

    Raises:
        BadInput: a word is neither a title nor a name, in one line with the nearest.
    """
    known = [name for table in tables for column in table.columns for name in (column.name or column.title,) if name]
    titles = {column.title for table in tables for column in table.columns}
    for word in words:
        if word not in titles and word not in known:
            raise BadInput(unknown("column:", word, list(dict.fromkeys(known))))


def _indices(table: Table, section: Section, words: Sequence[str]) -> list[int]:
    """Places of the columns that are printed: those asked for, and the point where it tells rows apart."""
    places = {name: i for i, column in enumerate(table.columns) for name in (column.title, column.name) if name}
    asked = [places[word] for word in words if word in places] or [places[word] for word in table.brief]
    found = list(dict.fromkeys(asked)) or list(range(len(table.columns)))
    point = places.get("point")
    if point is not None:
        several = len({row[point] for row in section.cells}) > 1
        found = [point] * several + [i for i in found if i != point]
    return found


def _is_alike(column: Column, section: Section, place: int) -> bool:
    """Whether a column says the same in all of several rows, so that a note says it as well."""
    return column.title != "estimator" and len(section.cells) > 1 and len({row[place] for row in section.cells}) == 1


def _ems(text: str) -> float:
    """About how wide a text is set, in units of the size of its letters."""
    powers = len(re.findall(r"(?<=[\d.])e-?\d", text))
    broad, narrow = sum(c in _BROAD for c in text), sum(c in _NARROW for c in text)
    minus = len(re.findall(r"(?<![\w.])-\d", text))
    return 0.57 * (len(text) - broad - narrow) + 0.85 * broad + 0.36 * narrow + 1.9 * powers + 0.3 * minus


def _bold(text: str) -> str:
    return rf"{{\bfseries\boldmath {text}}}" if text else ""


def _split(text: str) -> tuple[str, str, str]:
    """What of a number comes before its point, what after, and the rest, `-1`, `.23e-4` and `[-1.30e-4, 2.10]`."""
    match = _NUMBER.fullmatch(text)
    if not match:
        return text, "", ""
    whole, fraction, power, percent, rest = (part or "" for part in match.groups())
    return (whole, fraction + power + percent, rest) if fraction else (whole + power, percent, rest)


def _numbers(texts: Sequence[str], bold: Sequence[bool]) -> list[_Part]:
    """A column of numbers, aligned at their points, with their intervals behind."""
    whole, fraction, rest = [], [], []
    for text, is_bold in zip(texts, bold, strict=True):
        first, second, third = map(_tex, _split(text))
        whole.append(_bold(first) if is_bold else first)
        fraction.append(_bold(second) if is_bold else second)
        rest.append(third)
    columns = [_Part(whole, "r")]
    columns += [_Part(fraction, "@{}l")] if any(fraction) else []
    return columns + ([_Part(rest, "@{~}l")] if any(rest) else [])


def _tex(text: str) -> str:
    """Text of a number for LaTeX; what stands behind its point may be a fraction with a power of ten."""
    power = re.fullmatch(r"(\.\d+)e(-?\d+)( %)?", text)
    escaped = rf"${power[1]}\times10^{{{power[2]}}}${escape_tex(power[3] or '')}" if power else escape_tex(text)
    return escaped.replace(r" \%", r"\,\%")


def _number_ems(texts: Sequence[str]) -> float:
    """Width of a column of numbers that are aligned: the widest part before the point, after it, and the rest."""
    before, after, rest = (max(map(_ems, parts)) for parts in zip(*map(_split, texts), strict=True))
    bold = 0.09 * max(map(len, texts)) if after else 0.0
    return before + after + rest + 0.4 + min(bold, 0.6)


class _Layout(NamedTuple):
    """How large letters are, and how wide columns of words, in points; None for as wide as they are."""

    size: str
    words: dict[int, float | None]


def _layout(cells: Mapping[int, Sequence[str]], columns: Mapping[int, Column]) -> _Layout:
    """The largest letters at which all fits, with words broken over lines where they must be."""
    numbers = {i: max(_number_ems(cells[i]), _ems(columns[i].title)) for i in cells if not columns[i].left}
    words = {i: max(map(_ems, (columns[i].title, *cells[i]))) + 0.6 for i in cells if columns[i].left}
    # Text is broken at spaces and hyphens alone, and a short one not at all.
    pieces = {i: [re.split(r"\s|(?<=-)", text) for text in (columns[i].title, *cells[i])] for i in words}
    longest = {i: max(_ems(piece) for text in of_texts for piece in text) + 0.9 for i, of_texts in pieces.items()}
    least = {i: words[i] if words[i] < SHORT else min(words[i], longest[i]) for i in words}
    for size, points in SIZES:
        room = (SAFE * WIDTH - GAP * (len(cells) - 1)) / points - sum(numbers.values())
        if sum(words.values()) <= room:
            return _Layout(size, dict.fromkeys(words))
        if sum(least.values()) <= room or size == SIZES[-1][0]:
            break
    # What is left over goes to those that miss most.
    spare = max(0.0, room - sum(least.values()))
    missing = {i: words[i] - least[i] for i in words}
    share = min(1.0, spare / max(sum(missing.values()), 1e-9))
    return _Layout(size, {i: points * (least[i] + share * missing[i]) for i in words})


def _marks(table: Table, section: Section, shown: Sequence[int]) -> tuple[list[str], list[str]]:
    """Letters behind the names of estimators whose note is not a column, and the notes that they lead to."""
    place = next((i for i, column in enumerate(table.columns) if column.title == "note"), None)
    if place is None or place in shown:
        return [""] * len(section.cells), []
    letters: dict[str, str] = {}
    marks = []
    for row in section.cells:
        if row[place]:
            letters.setdefault(row[place], _letter(len(letters)))
        marks.append(rf"\tnote{{{letters[row[place]]}}}" if row[place] else "")
    return marks, [rf"\item[{letter}] {escape_tex(text)}." for text, letter in letters.items()]


def _letter(i: int) -> str:
    """a to z, then aa to az, and so on."""
    return (_letter(i // 26 - 1) if i >= 26 else "") + "abcdefghijklmnopqrstuvwxyz"[i % 26]


def _section(table: Table, section: Section, label: str, words: Sequence[str], best: Best | None) -> list[str]:
    shown = _indices(table, section, words)
    alike = [] if words else [i for i in shown if _is_alike(table.columns[i], section, i)]
    shown = [i for i in shown if i not in alike]
    cells = {i: [row[i] for row in section.cells] for i in shown}
    layout = _layout(cells, {i: table.columns[i] for i in shown})
    marks, notes = _marks(table, section, shown)

    def is_best(row: Row, column: Column) -> bool:
        return best is not None and column.name == best.column and key(row) in best.keys

    titles, specs = [], list[str]()
    body: list[list[str]] = [[] for _ in section.cells]
    for i in shown:
        column = table.columns[i]
        if column.left:
            width = layout.words[i]
            texts = [escape_tex(text).replace(f" {_DAGGER}", f"~{_DAGGER}") for text in cells[i]]
            parts = [_Part(texts, "l" if width is None else rf">{{\raggedright\arraybackslash}}p{{{width:.0f}pt}}")]
            if column.title == "estimator":
                parts = [_Part([text + mark for text, mark in zip(texts, marks, strict=True)], parts[0].spec)]
            titles.append(escape_tex(column.title))
        else:
            parts = _numbers(cells[i], [is_best(row, column) for row in section.rows] or [False] * len(cells[i]))
            title = escape_tex(column.title)
            titles.append(rf"\multicolumn{{{len(parts)}}}{{c}}{{{title}}}" if len(parts) > 1 else title)
        specs += [part.spec for part in parts]
        for part in parts:
            for line, text in zip(body, part.cells, strict=True):
                line.append(text)
    about = f" ({section.about})" if section.about else ""
    caption = rf"\caption{{{escape_tex(f'{table.title} on {section.heading}{about}.')}}}\label{{tab:{label}}}"
    spec = "@{}" + "".join(specs) + "@{}"
    header = " & ".join(titles) + r" \\"
    lines = [row(texts) for texts in body]
    said = [rf"\item {escape_tex(table.caption)}", *([rf"\item {escape_tex(best.rule)}"] if best else []), *notes]
    said += [rf"\item {escape_tex(f'{table.columns[i].title}: {section.cells[0][i]} in all rows.')}" for i in alike]
    begin = ["", r"\begingroup", rf"\setlength{{\tabcolsep}}{{{GAP / 2:g}pt}}\{layout.size}"]
    if len(lines) > LONG:
        return [
            *begin, r"\begin{ThreePartTable}", r"\begin{TableNotes}\scriptsize", *said, r"\end{TableNotes}",
            rf"\begin{{longtable}}{{{spec}}}", caption + r"\\", r"\toprule", header, r"\midrule", r"\endfirsthead",
            r"\toprule", header, r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot", r"\bottomrule",
            r"\insertTableNotes", r"\endlastfoot", *lines, r"\end{longtable}", r"\end{ThreePartTable}", r"\endgroup",
        ]  # fmt: skip
    return [
        *begin[:1], r"\begin{table*}[tp]", r"\centering", begin[2], r"\begin{threeparttable}", caption,
        rf"\begin{{tabular}}{{{spec}}}", r"\toprule", header, r"\midrule", *lines, r"\bottomrule", r"\end{tabular}",
        r"\begin{tablenotes}[flushleft]\scriptsize", *said, r"\end{tablenotes}", r"\end{threeparttable}",
        r"\end{table*}",
    ]  # fmt: skip


def row(cells: Sequence[str]) -> str:
    """A row, of texts that are escaped already."""
    # After the end of a row a bracket or star would be an argument of it.
    first = "{}" if cells[0].startswith(("[", "*")) else ""
    return first + " & ".join(cells) + r" \\"


def tex(table: Table, words: Sequence[str] = (), best: Best | None = None) -> str:
    r"""A table a problem, with booktabs rules, caption, label and notes; one of many rows goes over several pages.

    Args:
        table: all of its columns.
        words: titles or names of columns to print, in this order; those that a table does not have are passed over, and
            a table that has none of them, or where none is given, prints those that fit 6.5 in.
        best: what is set in bold; None for nothing.
    """
    lines = [f"% {table.title}: needs the packages {PACKAGES}."]
    for i, section in enumerate(table.sections, 1):
        lines += _section(table, section, f"{table.name}-{i}", words, best)
    return "\n".join(lines) + "\n"
