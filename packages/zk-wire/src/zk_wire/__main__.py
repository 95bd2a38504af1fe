"""`python -m zk_wire decode`: read captured bytes of a connection and print one JSON line per message.

Rule: everything is decided in decode.py; here are the arguments, the file, and the exit status:
0 all was decoded, 2 bad arguments or bad input (the messages before the fault are printed, the reason on stderr).
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from .decode import Decoder
from .errors import RemoteProtocolError
from .hextext import HexReader
from .opcodes import OpCode
from .registry import REQUEST_TYPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from .decode import Message

_CHUNK = 65_536
_BAD_INPUT = 2

_EPILOG = """\
Hexadecimal text may be split by white space anywhere; # starts a comment; a line that starts with > (client to server)
or < (server to client) sets the direction of what follows. With both directions, replies are read by the request that
has their xid. With the server's alone their records are printed in hexadecimal, or read as --replies-to says.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    try:
        status = _decode(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough. Nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m zk_wire", description="The ZooKeeper protocol on plain bytes.")
    commands = parser.add_subparsers(required=True, metavar="command")
    decode = commands.add_parser(
        "decode",
        help="print one JSON line per message of a captured connection",
        description="Print one JSON line per message of a captured connection.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    decode.add_argument("file", nargs="?", default="-", help="what to read; - (the default) is standard input")
    decode.add_argument(
        "--direction",
        choices=["client", "server", "auto"],
        default="auto",
        help="who sent the bytes that have no mark (default auto: told by the first frame)",
    )
    form = decode.add_mutually_exclusive_group()
    form.add_argument("--hex", action="store_true", help="the input is hexadecimal text")
    form.add_argument("--binary", action="store_true", help="the input is the bytes of one direction")
    decode.add_argument(
        "--replies-to",
        type=_opcode,
        metavar="OPCODE",
        help="read replies whose request is not there as answers to this opcode (GET_DATA, ...)",
    )
    decode.add_argument("--show-secrets", action="store_true", help="print passwords, credentials and SASL tokens")
    return parser


def _opcode(text: str) -> OpCode:
    name = text.upper().replace("-", "_")
    if name not in OpCode.__members__ or OpCode[name] not in REQUEST_TYPES:
        known = ", ".join(OpCode(number).name for number in REQUEST_TYPES)
        raise argparse.ArgumentTypeError(f"no opcode {text!r}; known are {known}")
    return OpCode[name]


def _decode(options: argparse.Namespace) -> int:
    decoder = Decoder(
        direction=None if options.direction == "auto" else options.direction,
        assumed=options.replies_to,
        show_secrets=options.show_secrets,
    )
    text = True if options.hex else False if options.binary else None
    fault: str | None = None
    try:
        if options.file == "-":
            _run(decoder, sys.stdin.buffer, text)
        else:
            with open(options.file, "rb") as file:
                _run(decoder, file, text)
    except RemoteProtocolError as error:
        fault = str(error)
    except BrokenPipeError:
        raise
    except OSError as error:
        fault = f"cannot read {options.file}: {error.strerror or error}"
    faults = [*decoder.malformed, *([] if fault is None else [fault])]
    for reason in faults:
        print(f"zk_wire decode: {reason}", file=sys.stderr)
    return _BAD_INPUT if faults else 0


def _run(decoder: Decoder, file: BinaryIO, text: bool | None) -> None:
    """Feed the whole file. Raises RemoteProtocolError at the first bytes that are no frames."""
    reader: HexReader | None = None
    for number, chunk in enumerate(_chunks(file)):
        if not number and (_looks_like_text(chunk) if text is None else text):
            reader = HexReader()
        if reader is None:
            _print(decoder.feed(chunk))
        else:
            for direction, data in reader.feed(chunk):
                _print(decoder.feed(data, direction))
                _raise(decoder.pending_error)
            _raise(reader.pending_error)
        _raise(decoder.pending_error)
    if reader is not None:
        reader.finish()
    _print(decoder.finish())
    _raise(decoder.pending_error)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    read1 = getattr(file, "read1", file.read)  # what is there already, so that a live capture is shown at once
    chunk: bytes = read1(_CHUNK)
    while chunk:
        yield chunk
        chunk = read1(_CHUNK)


def _looks_like_text(chunk: bytes) -> bool:
    """A binary stream starts with the zero bytes of a frame's length, or with a four-letter word."""
    return not set(chunk[:4]) - set(b"0123456789abcdefABCDEF<># \t\r\n") or chunk.lstrip()[:1] in (b"#", b">", b"<")


def _raise(error: RemoteProtocolError | None) -> None:
    if error is not None:
        raise error


def _print(messages: list[Message]) -> None:
    if messages:
        sys.stdout.write("".join(json.dumps(message) + "\n" for message in messages))
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
