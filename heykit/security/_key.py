"""What a key and a set of keys are. They are built in `keys`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NoReturn, TypeAlias, final

from heykit.errors import KeyRefused

Algorithm: TypeAlias = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]  # fmt: skip
Sign: TypeAlias = Callable[[bytes], bytes]
Verify: TypeAlias = Callable[[bytes, bytes], bool]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """One key for one algorithm. It shows its secret to nobody: it does not even keep it.

    Build one with `key_from_secret`, `key_from_pem`, `key_from_jwk` or `generate_key`.
    """

    algorithm: Algorithm
    id: str | None
    may_sign: bool = field(repr=False)
    may_verify: bool = field(repr=False)
    sign: Sign = field(repr=False)
    """Sign bytes as they are; a token is made by `jws.sign`. KeyRefused where the key may only verify."""
    verify: Verify = field(repr=False)
    """True if the signature (the second argument) of the bytes is this key's, and the key may verify at all."""
    created_at: float | None = field(repr=False, default=None)
    """When it was made, in seconds since the epoch, where that is known."""
    _public: Mapping[str, str] | None = field(repr=False, default=None)

    @property
    def is_public(self) -> bool:
        """True if the key has a public half; a shared secret has none."""
        return self._public is not None

    def public_jwk(self) -> Mapping[str, str]:
        """Give its public half as a JSON Web Key.

        :raises KeyRefused: it is a shared secret
        """
        if self._public is None:
            raise KeyRefused("A shared secret has no public half: sign with RS, PS, ES or EdDSA to publish a key.")
        return self._public

    def __reduce__(self) -> NoReturn:
        raise TypeError("A key is not pickled or copied: build it again from where its secret is kept.")


def made_key(
    algorithm: Algorithm,
    id: str | None,
    sign: Sign | None,
    verify: Verify | None,
    public: Mapping[str, str] | None = None,
) -> Key:
    """Make a key of what it can do; `None` is what it may not."""
    return Key(
        algorithm, id, sign is not None, verify is not None, sign or _no_sign, verify or _no_verify, _public=public
    )


def _no_sign(data: bytes) -> NoReturn:
    raise KeyRefused("This key may only verify: sign with a private key, one whose `key_ops` let it.")


def _no_verify(data: bytes, signature: bytes) -> bool:
    return False


@final
@dataclass(frozen=True, slots=True, eq=False)
class KeySet:
    """Keys of which a token's `kid` chooses one. Build it with `key_set` or `key_set_from_jwks`."""

    _by_id: Mapping[str | None, Key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def __repr__(self) -> str:
        return f"KeySet({list(self)})"

    def find(self, id: str | None, /) -> Key | None:
        """Find the key a token means; without an id that is the key without one, or the only key."""
        found = self._by_id.get(id)
        if found is None and len(self._by_id) == 1:
            # OpenID Connect Core §10.1: a token must name its key where the set holds several.
            only = next(iter(self))
            return only if may_name(id, only) else None
        return found

    def newest(self) -> Key:
        """Give the key to sign with: the first of the set that may. :raises KeyRefused: all may only verify."""
        for key in self:
            if key.may_sign:
                return key
        raise KeyRefused("Every key of this set may only verify: put the one to sign with in front.")


def may_name(id: str | None, key: Key) -> bool:
    """True if a token that names this id may mean this key: where both have one they are the same."""
    return id is None or key.id is None or id == key.id
