"""Names on the command line: `--peers ours,kazoo`, each of those that there are."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def names(known: list[str]) -> Callable[[str], list[str]]:
    """What makes a list of an argument; an error names what can be chosen."""

    def convert(text: str) -> list[str]:
        chosen = [name.strip() for name in text.split(",") if name.strip()]
        unknown = [name for name in chosen if name not in known]
        if unknown or not chosen:
            raise argparse.ArgumentTypeError(f"{text!r}: choose from {', '.join(known)}")
        return list(dict.fromkeys(chosen))

    return convert
