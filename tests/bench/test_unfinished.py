"""A report of a run whose folder holds records of another suite, too."""

from pathlib import Path

import pytest

from bench.cli.report import write_report
from bench.run.planned import write_plan
from tests.bench.test_compare import TOY, folder, made, variances


def test_a_cell_that_is_done_is_not_missed_where_a_newer_record_is_shown_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A suite was run, then another of more draws in the same folder, then the first again: it had nothing to do."""
    first = made("moments", variances((None, 2.0, 0.1)), TOY)
    second = made("moments", variances((None, 3.0, 0.1)), TOY, settings={"draws": 9}, started="2027-01-02T03:04:05")
    run = folder(tmp_path / "run", [first, second])
    write_plan(run, [first["cell"]])
    write_report([run], run, ["csv"])
    said = capsys.readouterr().out
    assert "an older one of the same thing with other settings" in said
    assert "is not finished" not in said
    write_plan(run, [first["cell"], "0" * 16])
    write_report([run], run, ["csv"])
    assert "is not finished: 1 of 2 cells are not there yet." in capsys.readouterr().out
