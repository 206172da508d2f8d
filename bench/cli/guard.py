"""What all verbs share: exit codes, the option --json, and one line for what a person typed wrong."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

DONE, FAILED, BAD_INPUT, STOPPED, INTERRUPTED = 0, 1, 2, 3, 130

JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def complain(message: str) -> int:
    """One line on stderr; returns the exit code of bad input."""
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return BAD_INPUT


def guarded(verb: Callable[..., int]) -> Callable[..., int]:
    """A verb of which what a person typed wrong becomes one line and exit code 2, never a traceback."""

    @wraps(verb)
    def guarded_verb(*args: Any, **kwargs: Any) -> int:
        # A person's own estimator lies where they are; worker processes must find it too.
        sys.path.append(os.getcwd())
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (os.getcwd(), os.environ.get("PYTHONPATH"))))
        from estimators.errors import BadInput

        try:
            return verb(*args, **kwargs)
        except BadInput as error:
            return complain(str(error))
        except OSError as error:  # a folder that cannot be written, a full disk
            return complain(f"{error.strerror or error}: {error.filename or 'unknown file'}")

    return guarded_verb
