"""Whatever comes in, nothing but TokenError leaves `jws` and `jwt`: for as long as asked.

Run it from the root of the repository: `python -m tests.security.fuzzing --seconds 600`. The inputs are Hypothesis's:
any bytes and text, tokens of any header and payload that are rightly signed, and such tokens with a wound.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import get_args

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from heykit.errors import KeyRefused, TokenError
from heykit.security import jws, jwt
from heykit.security.keys import Algorithm, Key, KeySet, generate_key, key_from_jwk, key_set, key_set_from_jwks

ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)
KEYS: dict[Algorithm, Key] = {algorithm: generate_key(algorithm, id=algorithm) for algorithm in ALGORITHMS}
SET: KeySet = key_set(KEYS.values())

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats(width=32) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(
    ["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "cty", "exp", "nbf", "iat", "aud", "iss", "sub"]
)
objects = st.dictionaries(
    names | st.text(max_size=8), json_values | st.sampled_from(ALGORITHMS) | st.integers(0, 10**12), max_size=5
)
texts = objects.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200)
keys = st.sampled_from([*KEYS.values()])


def part(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


@st.composite
def signed(draw: st.DrawFn) -> bytes:
    """A token whose signature is right, whatever it says."""
    key = draw(keys)
    how = draw(st.integers(0, 9))
    header: dict[str, object] = {"alg": key.algorithm, "kid": key.id}
    if how == 0:
        header.update(draw(objects))
    head = draw(texts) if how == 1 else json.dumps(header).encode()
    middle = part(head) + b"." + part(draw(texts) if how < 4 else json.dumps(draw(objects)).encode())
    return middle + b"." + part(key.sign(middle))


@st.composite
def wounded(draw: st.DrawFn) -> bytes:
    token = bytearray(draw(signed()))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(token) - 1))
        token[at : at + draw(st.integers(0, 3))] = draw(
            st.binary(max_size=3) | st.sampled_from([b".", b"=", b"-", b"\n"])
        )
    return bytes(token)


anything = st.one_of(st.binary(max_size=100), st.text(max_size=50), *[signed()] * 6, *[wounded()] * 3)
judges = st.just(SET) | keys
numbers = st.floats() | st.integers(0, 10**12)


def outcome(call: Callable[[], object]) -> str:
    try:
        call()
    except TokenError as refused:
        return refused.code
    return "taken"


def fuzz(seconds: float) -> Counter[str]:
    told: Counter[str] = Counter()
    began, batch = time.monotonic(), 0

    def one(
        token: object, judge: Key | KeySet, times: tuple[float, float], name: str | None, jwk: dict[str, object]
    ) -> None:
        at, leeway = times
        told[outcome(lambda: jws.verify(token, judge))] += 1  # type: ignore[arg-type]
        found = outcome(
            lambda: jwt.decode(token, judge, issuer=name, audience=name, leeway=leeway, typ=name, now=lambda: at)  # type: ignore[arg-type]
        )
        told[found] += 1
        for load in (key_from_jwk, _as_set):
            try:
                load(jwk)
            except KeyRefused:
                told["key.refused"] += 1

    given_all = given(anything, judges, st.tuples(numbers, numbers), st.none() | st.text(max_size=3), objects)
    limits = settings(
        max_examples=5000, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck]
    )
    while time.monotonic() - began < seconds:
        batch += 1
        seed(batch)(limits(given_all(one)))()
    return told


def _as_set(jwk: dict[str, object]) -> Key | KeySet:
    return key_set_from_jwks({"keys": [jwk]})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    told = fuzz(parser.parse_args().seconds)
    sys.stdout.write("".join(f"{count:10} {code}\n" for code, count in told.most_common()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
