"""What all verbs share: exit codes, the option --json, and one line for what a person typed wrong."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

DONE, FAILED, BAD_INPUT, STOPPED, INTERRUPTED = 0, 1, 2, 3, 130
UNREAD = 141
"""What a shell gives for a program that SIGPIPE ends, as most do whose output goes to `head`."""

JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def complain(message: str) -> int:
    """One line on stderr; returns the exit code of bad input."""
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return BAD_INPUT


def guarded(verb: Callable[..., int]) -> Callable[..., int]:
    """A verb of which what a person typed wrong becomes one line and exit code 2, never a traceback.

    It ends quietly where nobody reads its output any more.
    """

    @wraps(verb)
    def guarded_verb(*args: Any, **kwargs: Any) -> int:
        # A person's own estimator lies where they are; worker processes must find it too.
        sys.path.append(os.getcwd())
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (os.getcwd(), os.environ.get("PYTHONPATH"))))
        from estimators.errors import BadInput

        try:
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

    return guarded_verb
