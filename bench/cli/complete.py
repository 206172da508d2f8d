"""Names that a shell completes, read from the sources: to import them would take seconds, for torch is among them.

Those that plug-ins and a person's own files add are not here; a test holds ours to the registries.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
NEEDS, BOUNDS, DEVICES = ("values", "gradient", "relaxed"), ("elbo", "iwae"), ("cpu", "cuda")
_PLACES = {
    "estimators": ("estimators/*.py", r'^@register\(\s*"([^"]+)"'),
    "families": ("estimators/families/*.py", r'^@register_family\nclass (?:.|\n)*?^    name[^=\n]*= "([^"]+)"'),
    "problems": ("bench/problems/*.py", r'^@register_problem\("([^"]+)"\)'),
    "datasets": ("bench/datasets/*.py", r'(?:DatasetInfo\(|replace\(\s*\w+,)\s*name="([^"]+)"'),
}
"""Where each kind of name is said, and how."""


def named(what: str) -> list[str]:
    """Our names of a kind, by the alphabet: estimators, families, problems or datasets."""
    files, pattern = _PLACES[what]
    found = (re.findall(pattern, path.read_text(), re.MULTILINE) for path in ROOT.glob(files))
    return sorted(name for names in found for name in names)


def suites() -> list[str]:
    """Names of the suites that come with the package, and suite files that lie here."""
    ours = (path.stem for path in (ROOT / "bench" / "suites").glob("*.toml"))
    return [*sorted(ours), *sorted(str(path) for path in Path().glob("*.toml"))]


def _beginning(names: Iterable[str], typed: str) -> list[str]:
    return [name for name in names if name.startswith(typed)]


def among(*names: str) -> Callable[[str], list[str]]:
    """Completion of an option that takes one of a few words."""

    def complete(incomplete: str) -> list[str]:
        return _beginning(names, incomplete)

    return complete


def estimator(incomplete: str) -> list[str]:
    """Completion of an estimator's name."""
    return _beginning(named("estimators"), incomplete)


def family(incomplete: str) -> list[str]:
    """Completion of a family's name."""
    return _beginning(named("families"), incomplete)


def suite(incomplete: str) -> list[str]:
    """Completion of a suite's name, or of a suite file."""
    return _beginning(suites(), incomplete)


def run(incomplete: str) -> list[str]:
    """Completion of a run's folder: those here and in `runs`, and what else the shell finds."""
    found = (str(path.parent) for pattern in ("*/suite.toml", "runs/*/suite.toml") for path in Path().glob(pattern))
    return _beginning(sorted(found), incomplete)


def change(incomplete: str) -> list[str]:
    """Completion of a list with commas of what `compare --fail-on` takes."""
    done, comma, last = incomplete.rpartition(",")
    return [f"{done}{comma}{name}" for name in _beginning(CHANGES, last)]


CHANGES = (
    "changed", "missing", "slower", "faster", "higher-variance", "lower-variance", "higher-elbo", "lower-elbo",
    "other-numbers",
)  # fmt: skip
"""As `bench.report.compare.verdict.FAILS` has them, which imports scipy."""
