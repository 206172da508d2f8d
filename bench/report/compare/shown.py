"""A verdict as rows for a terminal, as plain values for a program, and as a page."""

import math
from typing import Any

import jinja2

from bench.report.compare.verdict import Judged, Verdict
from bench.report.text import number


def shown(verdict: Verdict, *, everything: bool) -> list[Judged]:
    """The comparisons of the table: those that changed, or all."""
    return [one for one in verdict.judged if everything or one.changed]


def left(verdict: Verdict) -> str:
    """How many comparisons the table leaves out; nothing where it has all."""
    count = sum(not one.changed for one in verdict.judged)
    more = " more" if count < len(verdict.judged) else ""
    return f"{count}{more} not known to have changed; --all shows them" if count else ""


def short(one: Judged) -> dict[str, Any]:
    """A row that fits 80 columns."""
    row = one.row
    return {
        "change": one.outcome,
        "comparison": f"{one.place}, {row.quantity}",
        "estimate": one.numbers or "-",
        "p (Holm)": number(one.corrected, 2) or "-",
    }


def long(one: Judged) -> dict[str, Any]:
    """A row with all that is known, for a file or a wide terminal."""
    row = one.row
    return {
        "change": one.outcome,
        "problem": row.problem,
        "estimator": row.estimator,
        "quantity": row.quantity,
        "point": row.point,
        "estimate": row.estimate,
        "low": row.low,
        "high": row.high,
        "p (Holm)": one.corrected,
        "remark": row.remark,
    }


def plain(verdict: Verdict) -> dict[str, Any]:
    """All of it as JSON has it; what is not finite is null, but for an end of an interval that has none: `inf`."""
    of = verdict.comparison
    a, b = ({"name": name, "alone": titles} for name, titles in zip(of.names, of.alone, strict=True))
    return {
        "verdict": verdict.sentence(),
        "lines": verdict.lines(),
        "compared": len(verdict.judged),
        "changed": sum(one.changed for one in verdict.judged),
        "counts": dict(verdict.counts),
        "runs": {"a": a, "b": b},
        "left_out": of.left_out,
        "damaged": [one.plain() for one in of.damaged],
        "settings": [found._asdict() for found in of.settings],
        "provenance": [{key: found._asdict()[key] for key in ("name", "a", "b")} for found in of.provenance],
        "together": [_plain(one) for one in verdict.together],
        "rows": [_plain(one) for one in verdict.judged],
    }


def _plain(one: Judged) -> dict[str, Any]:
    row = one.row._asdict() | {"outcome": one.outcome, "p_holm": one.corrected}
    return {key: _number(value) if isinstance(value, float) else value for key, value in row.items()}


def _number(x: float) -> float | str | None:
    return None if math.isnan(x) else "inf" if math.isinf(x) else x


def page(verdict: Verdict) -> str:
    """The comparison as one HTML page that needs no other file, in the look of a report's."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bench.report", "templates"),
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    changed = [one for one in verdict.judged if one.changed]
    others = [one for one in verdict.judged if not one.changed]
    first, *rest = verdict.lines()
    return environment.get_template("compare.html.j2").render(
        names=verdict.comparison.names,
        sentence=first,
        lines=rest,
        notes=[found.words() for found in (*verdict.comparison.settings, *verdict.comparison.provenance)],
        left_out=verdict.comparison.left_out,
        alone=list(zip(verdict.comparison.names, verdict.comparison.alone, strict=True)),
        tables=[("What changed", changed, True), ("What is not known to have changed", others, False)],
        number=number,
    )
