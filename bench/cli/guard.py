"""What all verbs share: exit codes, --json, --quiet and the like, and one line for what a person typed wrong."""

import errno
import inspect
import os
import re
import shlex
import sys
import traceback as traceback_of
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Annotated, Any

import typer

from bench.cli.loudness import ASKED, QUIET, TRACEBACK, VERBOSE, as_loud_as_asked
from bench.cli.unwell import where
from bench.printed import visible

DONE, FAILED, BAD_INPUT, STOPPED, INTERRUPTED = 0, 1, 2, 3, 130
UNREAD = 141
"""What a shell gives for a program that SIGPIPE ends, as most do whose output goes to `head`."""

LONGEST, CUT = 300, " ... (all of it: --verbose)"
"""Characters of a complaint, which a person is to take in at a look, and what ends one that was longer."""

MORE = {"quiet": QUIET, "verbose": VERBOSE, "traceback": TRACEBACK}
"""Options that every verb takes beside its own."""
JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def complain(message: str, *, whole: bool = False) -> int:
    """One line on stderr; returns the exit code of bad input.

    Args:
        message: what is wrong.
        whole: whether to say all of it, however long; else its beginning, with a word on how to see the rest.
    """
    line = "error: " + visible(" ".join(message.split()))
    if len(line) > LONGEST and not (whole or ASKED.verbose):
        line = re.sub(r"\S{81,}", lambda word: f"{word[0][:60]}...{word[0][-10:]}", line)  # what was typed, as a rule
        line = line if len(line) <= LONGEST else line[: LONGEST - len(CUT)] + CUT
    print(line, file=sys.stderr)
    return BAD_INPUT


def again() -> str:
    """The command that was typed, to go on with; what it was told to do anew it has begun to do."""
    return shlex.join(["gradest", *(arg for arg in sys.argv[1:] if arg not in ("--force", "--retry-failed"))])


def guarded(verb: Callable[..., int]) -> Callable[..., int]:
    """A verb of which what a person typed wrong becomes one line and exit code 2, never a traceback.

    It ends quietly where nobody reads its output any more, and takes --quiet, --verbose and --traceback beside its own
    options. A person's own code may run in it, which is said before.
    """
    return _guarded(verb, reads=False)


def reading(verb: Callable[..., int]) -> Callable[..., int]:
    """A `guarded` verb that reads what lies in folders, and runs no code that is named there or lies beside it."""
    return _guarded(verb, reads=True)


def _tell(module: str, file: str) -> None:
    if not ASKED.quiet:
        print(f"runs code of your own: {module} ({file})", file=sys.stderr, flush=True)


@contextmanager
def _own_code(*, reads: bool) -> Iterator[None]:
    """What may be imported inside: for a verb that reads nothing of a person's own."""
    from estimators.plugins import telling, without_imports

    if reads:
        with without_imports():
            yield
        return
    find_own_code()
    with telling(_tell):
        yield


def find_own_code() -> None:
    """A person's own estimator lies where they are, which is looked at behind all that is installed.

    So a file called random.py or torch.py beside the suite is run in the place of neither. Worker processes are given
    this path as it is (`bench.run.executors.path`).
    """
    sys.path.append(os.getcwd())


def _guarded(verb: Callable[..., int], *, reads: bool) -> Callable[..., int]:
    @wraps(verb)
    def guarded_verb(
        *args: Any, quiet: bool = False, verbose: bool = False, traceback: bool = False, **kwargs: Any
    ) -> int:
        from estimators.errors import BadInput

        loud = as_loud_as_asked(quiet=quiet, verbose=verbose, traceback=traceback, whole=kwargs.get("as_json", False))
        try:
            with loud, _shown_where_it_happened(), _own_code(reads=reads):
                code = verb(*args, **kwargs)
            sys.stdout.flush()  # what is still held back may find no reader either
            return code
        except BadInput as error:
            return complain(str(error), whole=verbose)
        except BrokenPipeError:
            # The interpreter flushes once more as it ends, and would say that it could not.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return UNREAD
        except OSError as error:  # a folder that cannot be written, a full disk
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            more = f"; what is written is whole. Make room, and go on with: {again()}" if full else ""
            return complain(f"{error.strerror or error}: {error.filename or _place(kwargs)}{more}")
        except SystemExit as error:  # no verb raises it; its code would be taken for one of ours
            place = where("".join(traceback_of.format_exception(error)))
            return complain(f"code of your own called sys.exit({error.code!r}){place}")
        except KeyboardInterrupt:
            print(f"interrupted; what is written is whole. Go on with: {again()}", file=sys.stderr)
            return INTERRUPTED

    # The parser reads the options from here.
    own = inspect.signature(verb)
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
        for name, annotation in MORE.items()
    ]
    guarded_verb.__signature__ = own.replace(parameters=[*own.parameters.values(), *more])  # type: ignore[attr-defined]
    guarded_verb.__annotations__ = verb.__annotations__ | MORE
    return guarded_verb


def _place(given: Mapping[str, Any]) -> str:
    """Where a verb reads and writes, for a fault of a library that does not say at which file."""
    found = given.get("out") or given.get("directory") or given.get("directories")
    return ", ".join(map(str, found if isinstance(found, list) else [found] if found else [os.getcwd()]))


@contextmanager
def _shown_where_it_happened() -> Iterator[None]:
    """Print the traceback of what ends a verb, where that was asked for."""
    try:
        yield
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except Exception:
        if ASKED.traceback:
            traceback_of.print_exc()
        raise
