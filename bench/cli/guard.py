"""What all verbs share: exit codes, --json, --quiet and --verbose, and one line for what a person typed wrong."""

import inspect
import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from bench.cli.loudness import QUIET, VERBOSE, as_loud_as_asked
from bench.printed import visible

DONE, FAILED, BAD_INPUT, STOPPED, INTERRUPTED = 0, 1, 2, 3, 130
UNREAD = 141
"""What a shell gives for a program that SIGPIPE ends, as most do whose output goes to `head`."""

MORE = {"quiet": QUIET, "verbose": VERBOSE}
"""Options that every verb takes beside its own."""
JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def complain(message: str) -> int:
    """One line on stderr; returns the exit code of bad input."""
    print("error: " + visible(" ".join(message.split())), file=sys.stderr)
    return BAD_INPUT


def guarded(verb: Callable[..., int]) -> Callable[..., int]:
    """A verb of which what a person typed wrong becomes one line and exit code 2, never a traceback.

    It ends quietly where nobody reads its output any more, and takes --quiet and --verbose beside its own options.
    """

    @wraps(verb)
    def guarded_verb(*args: Any, quiet: bool = False, verbose: bool = False, **kwargs: Any) -> int:
        # A person's own estimator lies where they are; worker processes must find it too.
        sys.path.append(os.getcwd())
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (os.getcwd(), os.environ.get("PYTHONPATH"))))
        from estimators.errors import BadInput

        try:
            with as_loud_as_asked(quiet=quiet, verbose=verbose, whole=kwargs.get("as_json", False)):
                code = verb(*args, **kwargs)
            sys.stdout.flush()  # what is still held back may find no reader either
            return code
        except BadInput as error:
            return complain(str(error))
        except BrokenPipeError:
            # The interpreter flushes once more as it ends, and would say that it could not.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return UNREAD
        except OSError as error:  # a folder that cannot be written, a full disk
            return complain(f"{error.strerror or error}: {error.filename or 'unknown file'}")

    # The parser reads the options from here.
    own = inspect.signature(verb)
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
        for name, annotation in MORE.items()
    ]
    guarded_verb.__signature__ = own.replace(parameters=[*own.parameters.values(), *more])  # type: ignore[attr-defined]
    guarded_verb.__annotations__ = verb.__annotations__ | MORE
    return guarded_verb
