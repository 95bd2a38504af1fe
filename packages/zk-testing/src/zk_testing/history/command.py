"""The command `python -m zk_testing check`: read histories, run checks, say what was found.

Rule: exit code 0 when every check holds, 1 when one is violated, 2 when nothing could be read or checked, 3 when
nothing is violated but something could not be decided.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys

from .checks import CHECKS, Options, check
from .lines import read_operations
from .operation import Operation, UnfitOperationError, Value, value_of
from .recording import History
from .sessions import SLACK
from .verdict import Verdict

HOLDS, VIOLATED, UNREADABLE, UNDECIDED = 0, 1, 2, 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="histories in JSON lines; several are one history")
    parser.add_argument(
        "--check",
        action="append",
        metavar="NAME",
        help=f"only this check; may be repeated (default: all that find their kinds of operation): {', '.join(CHECKS)}",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, for programs")
    parser.add_argument("--initial", default="null", metavar="JSON", help="a register's first value (default: null)")
    parser.add_argument("--start", type=int, default=0, metavar="N", help="a counter's first sum (default: 0)")
    parser.add_argument("--returns", choices=["new", "old"], default="new", help="the sum that `add` returns")
    parser.add_argument("--limit", type=int, metavar="N", help="how many may hold a semaphore that has no `limit`")
    parser.add_argument("--order", choices=["none", "fifo", "priority"], default="none", help="that of a queue")
    parser.add_argument("--drained", action="store_true", help="queues must be empty in the end")
    parser.add_argument("--members", type=int, metavar="N", help="how many a double barrier needs")
    parser.add_argument("--patience", type=_seconds, metavar="S", help="seconds that what has no timeout may take")
    parser.add_argument("--slack", type=_seconds, default=SLACK, metavar="S", help="seconds beyond (%(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Check, print, and return the exit code."""
    try:
        options = Options(
            initial=_initial(arguments.initial),
            start=arguments.start,
            returns=arguments.returns,
            limit=arguments.limit,
            order=arguments.order,
            drained=arguments.drained,
            members=arguments.members,
            patience=arguments.patience,
            slack=arguments.slack,
        )
        verdicts = check(History.load(*arguments.files), arguments.check, options)
        if not any(verdict.operations for verdict in verdicts):
            message = "no operation in this history is of a kind that a check reads"
            raise ValueError(message)
    except UnfitOperationError as error:
        shown = " ".join(str(error.operation).split())
        print(f"cannot check: {_where(error.operation, arguments.files)}: {error.rule}: {shown}", file=sys.stderr)
        return UNREADABLE
    except (OSError, TypeError, ValueError) as error:
        print(f"cannot check: {error}", file=sys.stderr)
        return UNREADABLE
    code = _code(verdicts)
    if arguments.json:
        print(json.dumps({"holds": code == HOLDS, "checks": [verdict.as_json() for verdict in verdicts]}))
    else:
        print("\n".join(map(str, verdicts)))
    return code


def _initial(text: str) -> Value:
    try:
        return value_of(json.loads(text))
    except ValueError as error:
        message = f"--initial is a value in JSON, not {text!r}"
        raise ValueError(message) from error


def _where(operation: Operation, files: list[str]) -> str:
    """The file and the line of an operation that was read."""
    for path in files:
        with open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                if operation in read_operations([line]):
                    return f"{path}:{number}"
    return ", ".join(files)


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if math.isfinite(seconds := float(text)):
            return seconds
    message = f"a number of seconds, not {text!r}"
    raise argparse.ArgumentTypeError(message)


def _code(verdicts: list[Verdict]) -> int:
    if any(verdict.holds is False for verdict in verdicts):
        return VIOLATED
    return UNDECIDED if any(verdict.holds is None for verdict in verdicts) else HOLDS
