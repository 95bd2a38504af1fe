"""Opening connections under asyncio, address by address, and asking servers whether they are read-write.

Rule: the same promises as `connecting` gives to clients that block.
"""

from __future__ import annotations

import asyncio
import os
import socket

from .. import _wire
from .connecting import is_connected, is_near
from .log import logger
from .resolving import numeric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from .._session.actions import Connect, Probe
    from ..hosts import Host
    from .resolving import Addresses

NATIVE_LOOPS = ("asyncio.unix_events", "uvloop", "uvloop.loop")
LONGEST_ANSWER = 16 * 1024 * 1024


def open_at_once(loop: asyncio.AbstractEventLoop, host: Host) -> socket.socket | None:
    """A connection to a server of this machine, which is there without any waiting; None for all others.

    Only in a loop that is known to wait for the system's sockets: those of others may be no connections at all.
    """
    if not is_near(host) or os.name != "posix" or type(loop).__module__ not in NATIVE_LOOPS:
        return None
    for family, address in numeric(host) or ():
        sock = _new_socket(family)
        try:
            sock.connect_ex(address)
            if is_connected(sock):
                return sock
        except OSError:
            pass  # it is tried again, and told, with all others
        except BaseException:
            sock.close()
            raise
        sock.close()
    return None


async def open_socket(
    loop: asyncio.AbstractEventLoop, action: Connect, look_up: Callable[[Host], Awaitable[Addresses | Exception]]
) -> tuple[socket.socket | None, str]:
    """A connection to one of the host's addresses, each tried for its time; or None, and why there is none."""
    host = action.host
    found: Addresses | Exception | None = numeric(host)
    if found is None:
        try:
            async with asyncio.timeout(action.timeout):
                found = await look_up(host)
        except TimeoutError:
            return None, f"cannot resolve {host.name!r}: no answer within {action.timeout:.1f} s"
    if isinstance(found, Exception):
        return None, f"cannot resolve {host.name!r}: {found}"
    reasons: list[str] = []
    for family, address in found:
        sock = _new_socket(family)
        try:
            async with asyncio.timeout(action.timeout):
                await loop.sock_connect(sock, address)
            return sock, ""
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


def _new_socket(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


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
