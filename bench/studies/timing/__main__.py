"""Make a run's folder of what pytest-benchmark measured: `python -m bench.studies.timing TIMING.json DIR`.

The records of steps become cells, in one archive, and so the report's time table and figures; all ratios that were
noted become `targets.md` and `targets.csv`. The JSON is kept beside them, for `pytest-benchmark compare`.
"""

import json
import sys
from pathlib import Path
from typing import Any

from bench.cli.guard import complain
from bench.records.record import read
from bench.run.store import Store
from bench.studies import results
from bench.studies.timing import targets
from bench.suite.load import load_suite
from bench.suite.toml import dumps


def _measured(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SystemExit(complain(f"cannot read {str(path)!r}: {error}; give the file of --benchmark-json")) from error
    if not isinstance(found, dict) or not found.get("benchmarks"):
        raise SystemExit(complain(f"{str(path)!r} holds no benchmarks; give the file of --benchmark-json"))
    return found


def main(source: Path, out: Path) -> None:
    """Write the folder and print the ratios."""
    from bench.cli.tables import print_table
    from bench.report.output import ALL_FORMATS, write

    found = _measured(source)
    suite, store = load_suite("timing"), Store(out)
    for benchmark in found["benchmarks"]:
        benchmark["stats"].pop("data", None)  # every round's seconds
        if record := benchmark["extra_info"].get("record"):
            store.write(read(record))
    texts = {
        "suite.toml": dumps(suite.model_dump(mode="json", exclude_none=True)),
        "timing.json": json.dumps(found, indent=1),
    }
    if table := targets.rows(found["benchmarks"]):
        texts |= {"targets.md": targets.markdown(table), "targets.csv": targets.csv(table)}
        print_table([targets.plain(row) for row in table])
    results.write_texts(out, texts)
    if records := store.records():
        files = write(records, out, ALL_FORMATS - {"svg", "png"}, suite.title)
        store.pack()
        print(f"wrote {len(files)} files; the report is {out / 'report.html'}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(complain("python -m bench.studies.timing takes a file of pytest-benchmark and the folder to write"))
    main(Path(sys.argv[1]), Path(sys.argv[2]))
