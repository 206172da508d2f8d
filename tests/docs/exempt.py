"""What of the pages is not run, each with the reason. A test fails on an exemption that nothing matches."""

NOT_RUN = {
    r"python3 -m venv .*": "an installation: .ci/run types it from the README, and tox its environments",
    r"pip install .*": "an installation: .ci/run types it from the README, and tox its environments",
    r"pip download .*": "needs the network",
    r"python -m pip .*": "an installation, for a machine without a network",
    r"\. .venv/bin/activate": "changes the shell that it is typed in",
    r"pre-commit install": "writes into the git folder of the reader's clone",
    r"pytest --numprocesses=auto .*": "it is what runs this",
    r"pytest test_mine.py": "tests/estimators/test_checks_own.py runs such a file",
    r"test \$\? .*": "part of a batch job",
    r"sbatch .*": "needs a queue",
    r"dask (scheduler|worker) .*|dask scheduler": "does not end; tests/bench/test_executors.py starts both",
}
"""Commands of other programs, as regular expressions."""

PARSED = {
    "check": "takes seconds to minutes; of the pages' own estimators it is run, others tox -e certify checks",
    "recommend": "of all estimators it takes long; its suite is made, and tests/bench/test_recommend.py runs some",
    "doctor": "says what the machine has; tests/bench/test_terminal.py runs it",
    "atlas": "tests/bench/test_atlas.py runs it",
    "list": "tests/bench/test_cli.py runs it",
    "status": "of a folder of the reader's, where the page did not make it",
    "report": "of a folder of the reader's, where the page did not make it",
    "compare": "of a folder of the reader's, where the page did not make it",
    "run": "of a file of the reader's, where it is not of the page; suites that come with it are planned",
}
"""Verbs of gradest whose commands are read by the parser and by what it hands on, and not run."""
