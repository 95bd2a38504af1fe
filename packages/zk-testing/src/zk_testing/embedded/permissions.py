"""Who a connection is, and what that allows.

Rule: identities belong to the connection, not to its session. World, auth, digest and ip are known; any other scheme is
refused like on a server where no provider for it is set up.

Source: PrepRequestProcessor.fixupACL, ZooKeeperServer.checkACL, DigestAuthenticationProvider.java,
IPAuthenticationProvider.java.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha1

from zk_wire import ACL, OPEN_ACL_UNSAFE, ErrorCode, Id, Permission

from .hashset import hash_of, spread
from .refusal import RefusedError

__all__ = ["SUPER", "allows", "check_permission", "digest_of", "fix_acl", "in_order", "masked"]

SUPER = Id("super", "")
_ANYONE = Id("world", "anyone")
_BUCKETS = 16  # of the set of a connection's identities, enough for eleven


def fix_acl(acl: Sequence[ACL] | None, identities: Iterable[Id], *, ipv6: bool) -> tuple[ACL, ...]:
    """Return the list a node gets: without duplicates, `auth` replaced by who asks. Refuses with -114."""
    fixed: list[ACL] = []
    for entry in dict.fromkeys(acl or ()):
        scheme, name = entry.id
        if entry.id == _ANYONE:
            fixed.append(entry)
        elif scheme == "auth":
            own = [ACL(entry.perms, identity) for identity in identities if identity.scheme == "digest"]
            if not own:
                raise RefusedError(ErrorCode.INVALID_ACL)
            fixed += own
        elif (scheme == "digest" and len(_java_split(name, ":")) == 2) or (
            scheme == "ip" and _network(name, ipv6) is not None
        ):
            fixed.append(entry)
        else:
            raise RefusedError(ErrorCode.INVALID_ACL)
    if not fixed:
        raise RefusedError(ErrorCode.INVALID_ACL)
    return tuple(fixed)


def allows(acl: tuple[ACL, ...], permission: int, identities: Iterable[Id]) -> bool:
    """Whether a list lets one of these identities do something."""
    if acl is OPEN_ACL_UNSAFE or not acl:
        return True
    for perms, wanted in acl:
        if perms & permission and wanted == _ANYONE:
            return True
    for identity in identities:
        if identity.scheme == "super":
            return True
        for perms, wanted in acl:
            if perms & permission and wanted.scheme == identity.scheme and _matches(wanted, identity):
                return True
    return False


def in_order(identities: Iterable[Id]) -> list[Id]:
    """Identities as a server lists them, and as it puts them in the place of `auth`: in the order of a set of Java."""
    return sorted(
        dict.fromkeys(identities),
        key=lambda identity: spread(_hash(identity)) & _BUCKETS - 1,
    )


def _hash(identity: Id) -> int:
    return (37 * (37 * 17 + hash_of(identity.scheme)) + hash_of(identity.id)) & 0xFFFFFFFF


def check_permission(acl: tuple[ACL, ...], permission: Permission, identities: Iterable[Id]) -> None:
    """Refuse with -102 unless `allows`."""
    if not allows(acl, int(permission), identities):
        raise RefusedError(ErrorCode.NO_AUTH)


def digest_of(credential: bytes) -> str:
    """The id of the scheme digest that "user:password" proves."""
    text = credential.decode("utf-8", "replace")
    hashed = sha1(text.encode(), usedforsecurity=False).digest()
    return f"{text.partition(':')[0]}:{b64encode(hashed).decode()}"


def masked(acl: tuple[ACL, ...]) -> list[ACL]:
    """The list as those see it who may read the node but not administer it."""
    return [
        ACL(perms, Id("digest", wanted.id.partition(":")[0] + ":x"))
        if wanted.scheme == "digest"
        else ACL(perms, wanted)
        for perms, wanted in acl
    ]


def _matches(wanted: Id, identity: Id) -> bool:
    if wanted.scheme == "digest":
        return wanted.id == identity.id
    if wanted.scheme != "ip":
        return False
    network, address = _network(wanted.id, True), _network(identity.id, True)
    if network is None or address is None or len(network[0]) != len(address[0]):
        return False
    shift = len(network[0]) * 8 - network[1]
    return int.from_bytes(network[0], "big") >> shift == int.from_bytes(address[0], "big") >> shift


def _network(text: str, ipv6: bool) -> tuple[bytes, int] | None:
    """(address, number of bits that count) of "1.2.3.4", "1.2.3.4/24", and where IPv6 is known the same of it."""
    address, slash, bits = text.partition("/")
    parts = address.split(".")
    numbers = [_java_int(part) for part in parts]
    raw: bytes
    if len(parts) == 4 and all(number is not None and 0 <= number <= 255 for number in numbers):
        raw = bytes(number or 0 for number in numbers)
    elif ipv6 and ":" in address and (found := _ipv6(address)) is not None:
        raw = found
    else:
        return None
    if not slash:
        return raw, len(raw) * 8
    length = _java_int(bits)
    return None if length is None or not 0 <= length <= len(raw) * 8 else (raw, length)


def _ipv6(text: str) -> bytes | None:
    """An address of eight groups, or fewer with one "::"; no dotted part, no zone, but signs, as Java reads numbers."""
    head, gap, tail = text.partition("::")
    groups = [part.split(":") if part else [] for part in (head, tail)]
    count = len(groups[0]) + len(groups[1])
    if count > 7 if gap else count != 8:
        return None
    groups.insert(1, ["0"] * (8 - count))
    numbers = [_java_int(group, 16) if len(group) <= 4 else None for part in groups for group in part]
    found = [(number & 0xFFFF).to_bytes(2, "big") for number in numbers if number is not None]
    return b"".join(found) if len(found) == 8 else None


def _java_int(text: str, base: int = 10) -> int | None:
    """The number, as Java reads it: one sign, digits of any script up to U+FFFF; None for anything else."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    value = 0
    for digit in digits:  # not int(): it refuses what has thousands of zeros in front
        number = _java_digit(digit)
        value = value * base + number
        if not 0 <= number < base or value > 2**31:
            return None
    if not digits:
        return None
    return -value if text[0] == "-" else value


def _java_digit(char: str) -> int:
    """What a character counts for, Latin letters of either width as in a hexadecimal number; -1 for nothing."""
    if char > "\uffff":
        return -1
    if char.isdecimal():
        return int(char)
    if "\uff21" <= char <= "\uff5a":
        char = chr(ord(char) - 0xFEE0)
    return "abcdef".find(char.lower()) + 10 if char in "abcdefABCDEF" else -1


def _java_split(text: str, separator: str) -> list[str]:
    """As Java splits: empty parts at the end do not count."""
    parts = text.split(separator)
    while parts and not parts[-1] and len(parts) > 1:
        parts.pop()
    return parts
