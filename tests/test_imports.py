"""What an import loads, in one process of a run and one of a report: a stage after another, each loading more."""

import json
import subprocess
import sys
from functools import cache

import pytest

REPORT = {"pandas", "pyarrow", "scipy", "matplotlib", "seaborn", "jinja2"}
HELP = "from bench.cli import main\ntry: main()\nexcept SystemExit: pass"
RUN = {
    "torch": "import torch",
    "estimators": "import estimators",
    "datasets": "import bench.datasets",
    "run": "import bench.cli, bench.cli.tables, bench.cli.terminal, bench.run.runner",
    "scaling": "import bench.studies.scaling.__main__",
}
RUN_FOLDER = """
import json, pathlib, tempfile
from bench.records.identity import cell_id
from bench.records.record import KEYS
from bench.run.planned import write_plan
config = {"measurement": {"kind": "moments"}, "problem": {"kind": "toy", "label": "p", "logit": 1.0}}
config |= {"estimator": {"name": "e", "label": "e", "samples": 2}, "device": "cpu", "threads": 1}
variance = {"estimate": 2.0, "low": 1.0, "high": 3.0, "log_se": 0.1}
cell = cell_id(config)
record = dict.fromkeys(KEYS) | {"schema": 1, "cell": cell, "status": "ok", "config": config}
record |= {"seconds": 1.0, "provenance": {}, "tags": {"unbiased": False}}
record |= {"measurements": {"points": [{"q": {"variance": variance}}]}}
folder = pathlib.Path(tempfile.mkdtemp())
(folder / "cells").mkdir()
(folder / "cells" / f"{cell}.json").write_text(json.dumps(record))
(folder / "suite.toml").write_text('name = "a"')
write_plan(folder, [cell])
"""
"""A run's folder of one record."""
READ = {
    "help": HELP,
    "folder": RUN_FOLDER,
    "atlas": "from bench.cli.atlas import atlas_verb; assert atlas_verb(6.0, '4', 2) == 0",
    "status": "from bench.cli.status import status_verb; assert status_verb(folder) == 0",
    "compare": "from bench.cli.compare import compare_verb; assert compare_verb(folder, folder) == 0",
    "report": "from bench.cli.report import report_verb; assert report_verb([folder], 'csv', None) == 0",
}
"""The verbs that only read, the lighter ones first."""


@cache
def _after(*stages: str) -> list[set[str]]:
    """Packages that are loaded after each of these pieces of code."""
    code = "\n".join(f"{stage}\nloaded.append([*sys.modules])" for stage in stages)
    code = f"import json, sys\nsys.argv[1:] = ['--help']\nloaded = []\n{code}\nprint(json.dumps(loaded))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [{name.partition(".")[0] for name in names} for names in json.loads(done.stdout.splitlines()[-1])]


def _loaded(stages: dict[str, str]) -> dict[str, set[str]]:
    return dict(zip(stages, _after(*stages.values()), strict=True))


def test_the_estimators_import_nothing_beyond_torch_and_the_standard_library() -> None:
    loaded = _loaded(RUN)
    assert loaded["estimators"] - loaded["torch"] - set(sys.stdlib_module_names) == {"estimators"}


@pytest.mark.parametrize(
    ("stages", "stage", "absent"),
    [
        (RUN, "datasets", {"pooch", "requests", "scipy"}),  # packages for reading and downloading
        (RUN, "run", REPORT),
        (RUN, "scaling", {"pandas", "matplotlib", "seaborn"}),
        (READ, "help", {"torch", "numpy", "pandas", "pydantic", "scipy", "matplotlib"}),
        (READ, "atlas", {"torch", "numpy", "pandas", "scipy", "matplotlib"}),
        (READ, "status", {"torch", "numpy", "pandas", "scipy", "matplotlib"}),
        (READ, "compare", {"torch", "pandas", "matplotlib", "seaborn"}),
        (READ, "report", {"torch"}),
    ],
    ids=["datasets", "run", "scaling", "help", "atlas", "status", "compare", "report"],
)
def test_an_import_leaves_out_what_it_has_no_need_of(stages: dict[str, str], stage: str, absent: set[str]) -> None:
    assert not _loaded(stages)[stage] & absent
