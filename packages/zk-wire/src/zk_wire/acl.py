"""Who may do what with a node: entries, identities, access control lists.

Rule: values only; nothing here knows a connection.  The hash of a password never shows in a repr.

Source: ZooDefs.Ids, DigestAuthenticationProvider.java.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from ._typing import NamedTuple


class Id(NamedTuple):
    """An identity: a scheme (world, auth, digest, ip, x509, sasl) and what that scheme calls someone."""

    scheme: str
    id: str

    def __repr__(self) -> str:
        """Show everything but the password hash of a digest identity."""
        user, colon, _secret = self.id.partition(":")
        shown = f"{user}:<redacted>" if colon and self.scheme == "digest" else self.id
        return f"Id(scheme={self.scheme!r}, id={shown!r})"


class ACL(NamedTuple):
    """One entry of an access control list: `id` has the permissions `perms`, a sum of Permission bits."""

    perms: int
    id: Id


OPEN_ACL_UNSAFE: tuple[ACL, ...] = (ACL(31, Id("world", "anyone")),)
"""Everyone may do everything."""

CREATOR_ALL_ACL: tuple[ACL, ...] = (ACL(31, Id("auth", "")),)
"""Everything, for each identity the creating connection has authenticated."""

READ_ACL_UNSAFE: tuple[ACL, ...] = (ACL(1, Id("world", "anyone")),)
"""Everyone may read."""


def make_digest_acl_credential(user: str, password: str) -> str:
    """Return the id a server keeps for this user in the scheme "digest": user:base64(sha1(user:password)).

    Raises ValueError when the user name has a colon: the server would split it there.
    """
    if ":" in user:
        raise ValueError(f"user name {user!r} has a colon: the digest scheme ends the name there")
    from base64 import b64encode
    from hashlib import sha1

    digest = sha1(f"{user}:{password}".encode(), usedforsecurity=False).digest()
    return f"{user}:{b64encode(digest).decode()}"


def make_acl(
    scheme: str,
    credential: str,
    *,
    read: bool = False,
    write: bool = False,
    create: bool = False,
    delete: bool = False,
    admin: bool = False,
    all: bool = False,  # noqa: A002
) -> ACL:
    """Return an ACL entry; `all` stands for the five permissions together."""
    perms = 31 if all else read | write << 1 | create << 2 | delete << 3 | admin << 4
    return ACL(perms, Id(scheme, credential))


def make_digest_acl(
    user: str,
    password: str,
    *,
    read: bool = False,
    write: bool = False,
    create: bool = False,
    delete: bool = False,
    admin: bool = False,
    all: bool = False,  # noqa: A002
) -> ACL:
    """Return an ACL entry for a user known by name and password; the password itself is not kept."""
    credential = make_digest_acl_credential(user, password)
    return make_acl("digest", credential, read=read, write=write, create=create, delete=delete, admin=admin, all=all)
