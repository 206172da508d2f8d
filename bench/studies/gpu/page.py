"""The page and the table, from the measurements alone."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.report.text import interval, number
from bench.studies import results
from bench.studies.results import Results, Row, Run, grouped

COLUMNS = (
    "part", "quantity", "estimator", "architecture", "seeds", "variant", "precision", "captured", "compiled", "draws",
    "unit", "median", "q25", "q75", "n", "bound", "met", "because",
)  # fmt: skip
PRECISIONS = {"highest": "float32", "high": "TF32"}
STEPS = (
    "estimator", "model", "seeds", "form", "products", "steps/s [IQR]", "asked", "met", "kernels", "kernels ms",
    "compile s", "ready s", "note",
)  # fmt: skip


def csv(found: Results) -> str:
    """Every row, numbers in full."""
    return results.csv([{"part": run.name} | row.columns() for run in found.runs for row in run.rows], COLUMNS)


def markdown(found: Results) -> str:
    """What was asked and whether it is met, then all that was measured, and what was left out."""
    first = found.runs[0]
    rows = {run.name: run.rows for run in found.runs}
    return results.page(
        "On a GPU" if first.about["device"] == "cuda" else "Rehearsal on a CPU of what runs on a GPU",
        _method(first),
        "## What is asked",
        _asked([row for part in rows.values() for row in part]),
        "## Steps",
        _steps([*rows.get("judged", ()), *rows.get("jax", ()), *rows.get("steps", ())]),
        "## Moments",
        _moments(rows.get("moments", ())),
        "## Tests, failures, and what was left out",
        *_rest(found),
    )


def _method(run: Run) -> str:
    about, sizes = run.about, run.about["sizes"]
    where = f"{run.provenance['gpu']}, driver {run.provenance['driver']}, " if about["device"] == "cuda" else ""
    return (
        f"Training steps on {about['dataset']} (MNIST: 784-200-784, or, nonlinear, with two layers of 200 a side), "
        f"batch {about['batch']}, Adam: median [quartiles] of n = {sizes['rounds']} rounds of {sizes['steps']} steps, "
        "the device synchronised before and after each. Compiled: one program of the whole step; captured: replayed as "
        "a CUDA graph, which takes a GPU; eager: neither. Ready: seconds from nothing to the first "
        "steps of that form, compiling in them, with torch's cache of compiled code as it stood. "
        "Kernels: of a step, and the time that they take one after another. "
        "JAX: its linear DisARM step with a fixed prior, in a process of its own on the same device, in the same run. "
        f"Moments: {sizes['draws']} draws at 784-200-784, batch 100, beside as many bare evaluations of f in turns, "
        f"n = {sizes['moments_rounds']}. Measured once, on one machine: {where}{results.made_on(run.provenance)}."
    )


def _asked(rows: Sequence[Row]) -> str:
    judged = [row for row in rows if row.target is not None]
    if not judged:
        return "Nothing was judged: the targets are those of a GPU, on MNIST."
    cells = [
        [row.quantity, _name(row.case), f"{number(row.value, 4)} {row.unit}".strip(), row.bound, row.met]
        for row in judged
    ]
    return results.table(("what", "of", "measured", "asked", "met"), cells)


def _name(case: Mapping[str, Any]) -> str:
    """`disarm[samples=2] linear, 5 seeds, compiled, float32`, as far as a case has these."""
    seeds = f"{case['seeds']} seeds" if "seeds" in case else ""
    of = " ".join(filter(None, (case.get("estimator", ""), case.get("architecture", ""))))
    return ", ".join(filter(None, (of, seeds, case.get("variant"), PRECISIONS.get(case.get("precision", ""), ""))))


def _steps(rows: Sequence[Row]) -> str:
    cells = []
    for case, group in grouped([row for row in rows if row.quantity != "failed"]):
        by = {row.quantity: row for row in group}
        if (rate := by.get("steps a second")) is None:
            continue
        found = {
            name: number(scale * by[quantity].value) if quantity in by else ""
            for name, quantity, scale in (
                ("kernels", "kernels a step", 1),
                ("kernels ms", "kernel seconds a step", 1e3),
                ("compile s", "seconds to compile", 1),
                ("ready s", "seconds until ready", 1),
            )
        }
        cells.append([
            case["estimator"], case.get("architecture", "linear"), str(case["seeds"]), _form(case),
            PRECISIONS[case["precision"]], interval(rate.value, rate.low, rate.high), rate.bound, rate.met,
            *found.values(), (case.get("variant") == "compiled" and case["because"]) or "",
        ])  # fmt: skip
    return results.table(STEPS, cells) if cells else "None was measured."


def _form(case: Mapping[str, Any]) -> str:
    """How it ran, which may be less than was asked for."""
    if "variant" not in case:
        return "jit, vmap, scan"
    ran = [word for word in ("compiled", "captured") if case[word]]
    return " and ".join(ran) or "eager"


def _moments(rows: Sequence[Row]) -> str:
    cells = [
        [case["estimator"], *(interval(row.value, row.low, row.high) for row in group), group[-1].bound, group[-1].met]
        for case, group in grouped([row for row in rows if row.quantity != "failed"])
        if len(group) == 3
    ]
    titles = ("estimator", "rows/s of moments [IQR]", "rows/s of f [IQR]", "ratio [IQR]", "asked", "met")
    return results.table(titles, cells) if cells else "None were measured."


def _rest(found: Results) -> Iterator[str]:
    for run in found.runs:
        if run.name == "tests" and run.rows:
            counts = ", ".join(f"{number(row.value)} {row.quantity.removeprefix('tests ')}" for row in run.rows)
            yield f"Tests marked `gpu`: {counts}."
    failed = [row for run in found.runs for row in run.rows if row.quantity == "failed"]
    if failed:
        yield "\n".join(f"- {row.case['title']} failed: {row.case['because']}" for row in failed)
    left_out = Counter(found.runs[-1].about["left_out"])
    if left_out:
        lines = (f"- {title}" + (f" ({count})" if count > 1 else "") for title, count in left_out.items())
        yield "Left out, for want of time or of what they need:\n\n" + "\n".join(lines)
    else:
        yield "Nothing was left out."
