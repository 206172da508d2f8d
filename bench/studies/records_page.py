"""The tables of a record's fields in docs/records.md, made from the models that read and write it.

    python -m bench.studies.records_page docs/records.md

writes what stands there between two comments anew; the words around it are the page's own.
"""

import ast
import inspect
import re
import sys
import textwrap
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from bench.records import identity
from bench.records.record import Record
from bench.records.results import Moments, Time, Training
from bench.records.values import Open, Unbounded
from bench.run.files import write_atomic

START, END = "<!-- The fields: made by python -m bench.studies.records_page. -->", "<!-- End of the fields. -->"
ROOTS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("record", Record),
    ("config", identity.Identity),
    ("measurements of a `moments` cell", Moments),
    ("measurements of a `train` cell", Training),
    ("measurements of a `time` cell", Time),
)
"""What the tables begin with; parts that they hold have tables of their own."""

IN_CONFIG: dict[type[BaseModel], str] = {
    identity.Identity: "Config",
    identity.Measured: "Config measurement",
    identity.Problem: "Config problem",
    identity.Estimator: "Config estimator",
}
ENDS = {"_low": "Lower end of its 95 % interval.", "_high": "Upper end of its 95 % interval."}
"""What is said of fields that end so and have no words of their own."""


def said(model: type[BaseModel]) -> dict[str, str]:
    """What the source says of each field: the string after it."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if not issubclass(base, BaseModel) or base is BaseModel:
            continue
        (parsed,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(parsed, ast.ClassDef)
        for one, after in zip(parsed.body, [*parsed.body[1:], None], strict=True):
            if not isinstance(one, ast.AnnAssign) or not isinstance(one.target, ast.Name):
                continue
            text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and after.value.value
            name = one.target.id
            ends = [words for ending, words in ENDS.items() if name.endswith(ending)]
            found[name] = " ".join(str(text).split()) if text else "".join(ends)
    return found


def kind(annotation: Any) -> str:
    """A type in words that JSON knows."""
    if annotation == Unbounded:
        return "number, null for infinite"
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return kind(parts[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys("null" if part is type(None) else kind(part) for part in parts))
    if origin is tuple:
        return f"list of {kind(parts[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{title(annotation)}](#{anchor(annotation)})"
    names = {int: "number", float: "number", str: "text", bool: "true or false"}
    return names.get(annotation, "table")


def title(model: type[BaseModel]) -> str:
    """What a part is called: its class, and one of a configuration by where it stands there."""
    return IN_CONFIG.get(model, model.__name__)


def anchor(model: type[BaseModel]) -> str:
    """Of a part's heading."""
    return title(model).lower().replace(" ", "-")


def parts_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a type holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from parts_of(part)


def row(name: str, field: FieldInfo, text: str) -> str:
    """A field's row."""
    annotation = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    absent = "required" if field.default is PydanticUndefined else "may be missing"
    cells = (f"`{field.alias or name}`", kind(annotation), absent, text)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells).rstrip() + " |"


def table(heading: str, model: type[BaseModel]) -> str:
    """A part's section."""
    texts = said(model)
    rows = [row(name, field, texts.get(name, "")) for name, field in model.model_fields.items() if not field.exclude]
    words = " ".join((model.__doc__ or "").split("\n\n")[0].split())
    more = " Other keys are kept." if issubclass(model, Open) or model.model_config.get("extra") == "allow" else ""
    return "\n".join(
        [f"#### {heading}", "", f"{words}{more}", "", "| field | type | | meaning |", "|---|---|---|---|", *rows, ""]
    )


def fields() -> str:
    """All tables, each model once, in the order in which they are met."""
    found: dict[type[BaseModel], str] = {}
    waiting = [model for _, model in ROOTS]
    while waiting:
        model = waiting.pop(0)
        if model in found:
            continue
        found[model] = table(title(model), model)
        waiting = [part for field in model.model_fields.values() for part in parts_of(field.annotation)] + waiting
    heads = "\n".join(f"- {words}: [{title(model)}](#{anchor(model)})" for words, model in ROOTS)
    return f"{heads}\n\n" + "\n".join(found.values())


def made(page: str) -> str:
    """The page with its tables written anew."""
    assert START in page and END in page
    return re.sub(
        rf"{re.escape(START)}\n.*?{re.escape(END)}", lambda _: f"{START}\n\n{fields()}\n{END}", page, flags=re.DOTALL
    )


if __name__ == "__main__":
    path = Path(sys.argv[1])
    write_atomic(path, made(path.read_text()).encode())
