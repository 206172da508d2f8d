"""The pages of the study: a row a kind of fault, and the faults that went wrong, each with its command."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.report.text import number
from bench.studies import results
from bench.studies.chaos.kinds import Kind
from bench.studies.results import Results, Row, Run

COUNTED = ("lost", "mixed", "torn", "tracebacks")
"""Of what a fault may be guilty, each a list of texts."""
TITLES = ("fault", "what happens", "tried", *COUNTED, "not ended", "seconds lost")
OF_SCALE = ("quantity", "measured", "target", "met")
COLUMNS = ("kind", "what", "tried", *COUNTED, "not_ended", "median", "q25", "q75", "most")


def guilty(found: Mapping[str, Any]) -> list[str]:
    """What is wrong with how a fault ended, in lines; nothing where all is well."""
    if "broken" in found:
        return [f"the study itself failed: {found['broken'].strip().splitlines()[-1]}", *found.get("under_way", ())]
    wrong = [f"{name}: {text}" for name in COUNTED for text in found[name]]
    return wrong + ([] if found["ended"] else ["did not end"]) + list(found["told"])


def rows_of(kinds: Mapping[str, Kind], found: Iterable[Mapping[str, Any]]) -> list[Row]:
    """A row a kind: how many faults were tried, and of how many something went wrong."""
    by_kind: dict[str, list[Mapping[str, Any]]] = {}
    for one in found:
        by_kind.setdefault(one["kind"], []).append(one)
    rows = []
    for name, tried in by_kind.items():
        judged = [one for one in tried if "broken" not in one]
        counts = {each: sum(len(one[each]) for one in judged) for each in COUNTED}
        more = {"not_ended": sum(not one["ended"] for one in judged), "broken": len(tried) - len(judged)}
        seconds = [one["seconds"] for one in judged]
        case = {"kind": name, "what": kinds[name].says, "tried": len(judged), **counts, **more}
        case["most"] = max(seconds, default=0.0)
        rows.append(Row.repeated("seconds lost", seconds or [0.0], keep=False, unit="s", case=case))
    return rows


def failures_of(found: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The faults of which something went wrong, with the command that tries one again."""
    wrong = [(one, lines) for one in found if (lines := guilty(one))]
    return [{"command": command(one["kind"], one["seed"]), "wrong": lines} for one, lines in wrong]


def command(kind: str, seed: int) -> str:
    """What tries one fault alone."""
    return f"python -m bench.studies.chaos OUT --kinds {kind} --seed {seed} --faults 1"


def _cells(row: Row) -> list[str]:
    case = row.case
    counts = [str(case[name]) for name in (*COUNTED, "not_ended")]
    spread = f"{row.value:.2f} [{row.low:.2f}, {row.high:.2f}], at most {case['most']:.1f}"
    return [case["kind"], case["what"], str(case["tried"]), *counts, spread]


def _short(text: str) -> str:
    """The beginning of a text that may have many lines, in one; all of it is in reliability.json."""
    return " ".join(text.split())[:300]


def _total(rows: Sequence[Row]) -> list[str]:
    sums = [f"{sum(row.case[name] for row in rows):,}" for name in ("tried", *COUNTED, "not_ended")]
    return ["all", f"{len(rows)} kinds", *sums, ""]


def faults(run: Run) -> list[str]:
    """The blocks of a page on a run of faults."""
    wrong = run.about["failures"]
    listed = [f"- `{one['command']}`: {'; '.join(map(_short, one['wrong'][:3]))}" for one in wrong]
    return [
        "A fault is one small run (eight cells of milliseconds, two trainings with checkpoints) that is hurt at an "
        "instant which a seed decides, and then started again until it ends. Then every record is held against that of "
        "a run which was left alone: measurements bit for bit, all but seconds and times. Lost: cells without a record "
        "at the end, and whole records that were there after the fault and had to be made again. Mixed: records that "
        "say something else than they should. Torn: files that are half of something, after the fault or at the end, "
        "where the fault did not damage them itself. Seconds lost: processor time of all its processes beyond that of "
        "a run that was left alone, median [quartiles]; that of workers is not in it.",
        f"Made by `tox -e chaos` with seed {run.about['seed']} in {run.about['minutes']:.0f} minutes; "
        f"{results.made_on(run.provenance)}.",
        results.table(TITLES, [_total(run.rows), *map(_cells, run.rows)], TITLES[2:]),
        *([f"Not tried here: {'; '.join(run.about['skipped'])}."] if run.about["skipped"] else []),
        *(["What went wrong, and what tries it again:", "\n".join(listed)] if listed else []),
    ]


def scale(run: Run) -> list[str]:
    """The blocks of a page on a run of many cells."""
    cells = [[row.quantity, f"{number(row.value)} {row.unit}", row.bound, row.met] for row in run.rows]
    return [
        "## Many cells",
        f"A suite of {run.about['cells']:,} cells of toys, made by `tox -e chaos-scale`; "
        f"{results.made_on(run.provenance)}.",
        results.table(OF_SCALE, cells, OF_SCALE[1:3]),
    ]


def publish(run: Run, out: Path) -> None:
    """Put a run beside the others of the study, write its files anew, and print the page."""
    path = out / "reliability.json"
    held = results.read(path).replaced(run)
    results.write(path, held)
    files = texts(held)
    results.write_texts(out, files)
    print(files["reliability.md"])


def texts(found: Results) -> dict[str, str]:
    """The files that are published, by name."""
    by_name = {run.name: run for run in found.runs}
    blocks = [*(faults(by_name["faults"]) if "faults" in by_name else [])]
    blocks += scale(by_name["scale"]) if "scale" in by_name else []
    files = {"reliability.md": results.page("What becomes of runs that are hurt", *blocks)}
    if "faults" in by_name:
        files["reliability.csv"] = results.csv([row.columns() for row in by_name["faults"].rows], COLUMNS)
    return files
