"""When an attempt is one too many: pure functions over numbers.

The generic cell rate algorithm (ITU-T I.371): of each name one instant is kept, that by which all its attempts would be
paid for at an even pace. An attempt that would put it further ahead than the limit allows is refused.
"""

from __future__ import annotations

import ipaddress
import math
import re
import unicodedata
from dataclasses import dataclass
from hashlib import sha256

from heykit.errors import Throttled

ROUNDING = 0.001  # seconds
_WITH_PORT = re.compile(r"^(?:\[([^\]]*)\]|([0-9.]+))(?::[0-9]+)?$", re.ASCII)
# RFC 3056 §2: whoever has an IPv4 address has a whole 2002:V4ADDR::/48 for it. RFC 6052 §2.1: behind this network is
# all of IPv4.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NETWORK_BITS = 64  # RFC 6177: what one site has at least


@dataclass(frozen=True, slots=True)
class Limit:
    """So many attempts at once, and as many again in `per` seconds, one by one."""

    attempts: int
    per: float

    def __post_init__(self) -> None:
        if not self.attempts >= 1:
            raise ValueError(f"attempts must be 1 or more, not {self.attempts!r}: else nobody could log in")
        if not (self.per > 0 and math.isfinite(self.per)):
            raise ValueError(f"per must be a finite number of seconds above 0, not {self.per!r}")

    @property
    def each(self) -> float:
        """The seconds until one more attempt is free."""
        return self.per / self.attempts


def wait(paid_at: float, now: float, limit: Limit) -> float:
    """Give the seconds until the next attempt may be made, 0 for now."""
    seconds = _paid_at(paid_at, now, limit) - now - (limit.per - limit.each)
    return seconds if seconds > ROUNDING else 0.0


def counted(paid_at: float, now: float, limit: Limit) -> float:
    """Give the instant by which all attempts are paid for, with one that is made now."""
    return _paid_at(paid_at, now, limit) + limit.each


def _paid_at(paid_at: float, now: float, limit: Limit) -> float:
    # Attempts bring it no further ahead than `per`. A little more is the clock of another server, and counts; far more
    # is from before the clock was set back.
    return now + limit.per if is_absurd(paid_at, now, limit) else max(paid_at, now)


def is_absurd(paid_at: float, now: float, limit: Limit) -> bool:
    """True for an instant that is to be forgotten, so that it holds nobody back for longer than the limit."""
    return paid_at > now + 2 * limit.per


def account_name(account: str) -> str:
    """Give what stands for an account: one for all ways to write it, of a fixed length, and no secret."""
    # Names may be the same to their store in upper and lower case; to be held back together hurts nobody else.
    # Unicode Standard, section 3.13, D146: compatibility caseless matching.
    plain = _folded(_folded(unicodedata.normalize("NFD", account.strip()[:1000])))
    return _hashed(plain)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text.casefold())


def _hashed(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def address_name(address: str) -> str | None:
    """Give what stands for an address: a subscriber has one in IPv4, and a network of 64 bits in IPv6.

    Where there is none nothing stands for it: else all who have none would be held back together.
    """
    plain = address.strip()
    if not plain:
        return None
    try:
        found = ipaddress.ip_address(_WITH_PORT.sub(r"\1\2", plain).partition("%")[0])
    except ValueError:
        return _hashed(plain[:1000])
    if isinstance(found, ipaddress.IPv6Address):
        within = found.ipv4_mapped or found.sixtofour or (_last_of(found) if found in _NAT64 else None)
        if within is not None:
            return str(within)
        return str(ipaddress.ip_network((int(found), _NETWORK_BITS), strict=False).network_address) + "/64"
    return str(found)


def _last_of(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)


def too_many(by: str, seconds: float) -> Throttled:
    message = "There were too many attempts to log in: wait before the next one."
    return Throttled(message, retry_after=seconds, by="account" if by == "account" else "address")
