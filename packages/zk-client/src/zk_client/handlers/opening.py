"""Opening connections under asyncio, address by address, and asking servers whether they are read-write.

Rule: the same promises as `connecting` gives to clients that block.
"""

from __future__ import annotations

import asyncio
import os
import socket
from functools import partial

from .. import _wire
from .log import logger
from .resolving import numeric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from .._session.actions import Connect, Probe
    from ..hosts import Host
    from .resolving import Addresses
    from .stream import Stream

LONGEST_ANSWER = 16 * 1024 * 1024


async def open_stream(
    loop: asyncio.AbstractEventLoop,
    action: Connect,
    look_up: Callable[[Host], Awaitable[Addresses | Exception]],
    make: Callable[[socket.socket], Stream],
) -> tuple[Stream | None, str]:
    """A connection to one of the host's addresses, each tried for its time; or None, and why there is none."""
    host = action.host
    try:
        async with asyncio.timeout(action.timeout):
            found = numeric(host) or await look_up(host)
    except TimeoutError:
        return None, f"cannot resolve {host.name!r}: no answer within {action.timeout:.1f} s"
    if isinstance(found, Exception):
        return None, f"cannot resolve {host.name!r}: {found}"
    reasons: list[str] = []
    for family, address in found:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(action.timeout):
                await loop.sock_connect(sock, address)
            _, stream = await loop.create_connection(partial(make, sock), sock=sock)
            return stream, ""
        except TimeoutError:
            sock.close()
            reasons.append(f"{address[0]}: no answer within {action.timeout:.1f} s")
        except OSError as error:
            sock.close()
            reasons.append(f"{address[0]}: {os.strerror(error.errno) if error.errno else error}")
        except BaseException:
            sock.close()
            raise
    return None, "; ".join(reasons) or "no address"


async def resolve(host: Host) -> Addresses | Exception:
    """The addresses of a host, or the resolver's error."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host.name, host.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return error
    return [(family, address) for family, _, _, _, address in found]


async def ask(host: Host, word: str, timeout: float) -> str:
    """Send a four-letter word to a server and return its whole answer; raises OSError.

    timeout: seconds for all of it.
    """
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection(host.name, host.port)
        try:
            writer.write(_wire.encode_command(word))
            parts: list[bytes] = []
            size = 0
            while part := await reader.read(65536):
                parts.append(part)
                size += len(part)
                if size > LONGEST_ANSWER:
                    raise OSError(f"answer to {word!r} from {host} is longer than {LONGEST_ANSWER} bytes")
            return b"".join(parts).decode("utf-8", "replace")
        finally:
            writer.transport.abort()


async def check(hosts: Sequence[Host], timeout: float) -> dict[Host, frozenset[str]]:
    """Which of these hosts are servers, and the addresses of each that is."""
    found: dict[Host, frozenset[str]] = {}
    for host in hosts:
        try:
            async with asyncio.timeout(timeout):
                addresses = numeric(host) or await resolve(host)
            if isinstance(addresses, Exception):
                raise addresses
            if await ask(host, "srvr", timeout):
                found[host] = frozenset(str(address[0]) for _, address in addresses)
        except Exception as error:  # noqa: BLE001 - it is not used, and the others are asked
            logger().info("%s is named by the ensemble, but does not answer: %s", host, error)
    return found


async def search_read_write(probe: Probe) -> Host | None:
    """The first host that says it serves writes; None when none does."""
    for host in probe.hosts:
        try:
            if _wire.parse_isro(await ask(host, "isro", probe.timeout)) is False:
                return host
        except Exception as error:  # noqa: BLE001 - the search goes on
            logger().debug("search for a read-write server: %s: %s", host, error)
    return None
