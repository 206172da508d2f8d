"""Make a run's folder of what pytest-benchmark measured: `python -m bench.timing TIMING.json DIR`.

The records of steps become cells, and so the report's time table and figures; all ratios that were noted become
`targets.md` and `targets.csv`. The JSON is kept beside them, for `pytest-benchmark compare`.
"""

import json
import sys
from pathlib import Path
from typing import Any

from bench.cli.guard import complain
from bench.run.store import Store, write_atomic
from bench.suite.load import load_suite
from bench.suite.toml import dumps
from bench.timing import targets


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
    from bench.report import ALL_FORMATS, write

    found = _measured(source)
    suite, store = load_suite("timing"), Store(out)
    write_atomic(out / "suite.toml", dumps(suite.model_dump(mode="json", exclude_none=True)).encode())
    for benchmark in found["benchmarks"]:
        benchmark["stats"].pop("data", None)  # every round's seconds
        if record := benchmark["extra_info"].get("record"):
            store.write(record)
    write_atomic(out / "timing.json", json.dumps(found, indent=1).encode())
    table = targets.rows(found["benchmarks"])
    if table:
        write_atomic(out / "targets.md", targets.markdown(table).encode())
        write_atomic(out / "targets.csv", targets.csv(table).encode())
        print_table([row.plain() for row in table])
    if records := store.records():
        files = write(records, out, ALL_FORMATS - {"svg", "png"}, suite.title)
        print(f"wrote {len(files)} files; the report is {out / 'report.html'}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(complain("python -m bench.timing takes a file of pytest-benchmark and the folder to write"))
    main(Path(sys.argv[1]), Path(sys.argv[2]))
