"""What the code never does, held by its syntax: run what a file says, unpack where it leads, or trust whom it names."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("estimators", "bench", "gradest")
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
NEVER = {
    *("eval", "exec", "os.system", "os.popen", "tempfile.mktemp", "yaml.unsafe_load", "yaml.full_load"),
    *("pandas.read_pickle", "pd.read_pickle", "shutil.unpack_archive", "ssl._create_unverified_context"),
    *("torch.hub.load", "torch.package"),
}
NEVER_METHODS = {"to_pickle", "extractall", "extract"}
DEMANDED = {
    "torch.load": ("weights_only", True),
    "yaml.load": ("Loader", None),
    "jinja2.Environment": ("autoescape", True),
}
"""Calls, and what they must be given."""
FORBIDDEN = {"shell": True, "allow_pickle": True, "verify": False, "weights_only": False, "autoescape": False}
"""What no call may be given."""
ALLOWED = {
    ("bench/training/attributes.py", "import pickle"): "to hash the state of an object in memory; nothing is read",
    ("bench/studies/page_code.py", "exec"): "runs the code of this repository's own documentation",
    ("bench/studies/claims/tables.py", "eval of a text"): "of this repository's own claims, in pandas' language",
}
"""With the reason."""


def name_of(node: ast.expr) -> str:
    """A dotted name as it is written; nothing for another expression."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{name_of(value)}.{attr}"
    return ""


def faults(text: str) -> Iterator[str]:
    """What of a module is not to be, in a few words each."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names=names):
                yield from (f"import {one.name}" for one in names if one.name.partition(".")[0] in UNPICKLERS)
            case ast.ImportFrom(module=str() as module) if module.partition(".")[0] in UNPICKLERS:
                yield f"import {module}"
            case ast.ImportFrom(module=str() as module, names=names):
                dotted = {f"{module}.{one.name}" for one in names}
                yield from sorted(dotted & {*NEVER, *DEMANDED} - {"jinja2.Environment"})
            case ast.Call(func=func, args=args, keywords=keywords):
                name = name_of(func)
                given = {one.arg: one.value.value if isinstance(one.value, ast.Constant) else ... for one in keywords}
                if name in NEVER:
                    yield name
                if isinstance(func, ast.Attribute) and func.attr in NEVER_METHODS:
                    yield func.attr
                if isinstance(func, ast.Attribute) and func.attr == "eval" and args:  # of a model it takes nothing
                    yield "eval of a text"
                if name in DEMANDED:
                    key, value = DEMANDED[name]
                    if key not in given or (value is not None and given[key] is not value):
                        yield f"{name} without {key}"
                yield from (f"{key}={value}" for key, value in FORBIDDEN.items() if given.get(key) is value)


def test_no_module_does_what_none_may() -> None:
    modules = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert len(modules) > 300
    found = {
        (path.relative_to(ROOT).as_posix(), fault) for path in modules for fault in faults(path.read_text("utf-8"))
    }
    assert found == ALLOWED.keys()


def test_no_example_does_so_either() -> None:
    """Nor in a page, where somebody copies it."""
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    blocks = [
        (path.name, code)
        for path in pages
        for code in re.findall(r"^```python[^\n]*\n(.*?)^```", path.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    ]
    assert len(blocks) > 30
    assert [(name, fault) for name, code in blocks for fault in faults(code)] == []


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("import pickle", "import pickle"),
        ("from joblib.numpy_pickle import load", "import joblib.numpy_pickle"),
        ("from torch import load", "torch.load"),
        ("from tempfile import mktemp", "tempfile.mktemp"),
        ("torch.load(file)", "torch.load without weights_only"),
        ("torch.load(file, weights_only=False)", "torch.load without weights_only"),
        ("np.load(file, allow_pickle=True)", "allow_pickle=True"),
        ("pd.read_pickle(file)", "pd.read_pickle"),
        ("frame.to_pickle(file)", "to_pickle"),
        ("eval(text)", "eval"),
        ("exec(text)", "exec"),
        ("rows.eval(text)", "eval of a text"),
        ("subprocess.run(text, shell=True)", "shell=True"),
        ("os.system(text)", "os.system"),
        ("yaml.load(text)", "yaml.load without Loader"),
        ("tempfile.mktemp()", "tempfile.mktemp"),
        ("requests.get(url, verify=False)", "verify=False"),
        ("zipfile.ZipFile(file).extractall(folder)", "extractall"),
        ("jinja2.Environment(loader=loader)", "jinja2.Environment without autoescape"),
    ],
)
def test_each_of_it_would_be_found(code: str, fault: str) -> None:
    assert fault in list(faults(code))


def test_what_is_right_is_not_found() -> None:
    assert not list(faults("torch.load(file, weights_only=True)\nmodel.eval()\nnp.load(file)\nsubprocess.run([a, b])"))
