"""Write the expected texts anew."""

import tempfile
from pathlib import Path

from tests.bench.golden.publish import EXPECTED, RUNS, publish, texts

with tempfile.TemporaryDirectory() as out:
    for run in RUNS:
        for name, text in texts(run, publish(run, Path(out) / run)).items():
            (EXPECTED / name).parent.mkdir(parents=True, exist_ok=True)
            (EXPECTED / name).write_text(text)
