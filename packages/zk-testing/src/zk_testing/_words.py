"""Asking a server its four-letter words over a socket.

Rule: one question, one answer, one connection; nothing is understood of it.
"""

from __future__ import annotations

import socket

__all__ = ["ask_word"]


def ask_word(host: str, port: int, word: str, *, timeout: float) -> str:
    """Return the whole answer to a word as text.

    timeout: seconds, for connecting and for each wait for bytes.   Raises OSError when the server does not answer.
    """
    with socket.create_connection((host, port), timeout) as connection:
        connection.sendall(word.encode("ascii"))
        pieces: list[bytes] = []
        while piece := connection.recv(65536):
            pieces.append(piece)
    return b"".join(pieces).decode("utf-8", "replace")
