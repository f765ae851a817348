"""Security: signed tokens, passwords, and who may do what.

    from heykit.security import authenticate, jwt, keys, passwords

    key = keys.key_from_secret(secret)
    async with passwords.argon2() as hashes:
        user = await authenticate(store, name, password, passwords=hashes)
    token = jwt.encode({"sub": user.id, "iss": "heygen", "aud": "api", "exp": time.time() + 1800}, key)
    claims = jwt.decode(token, key, issuer="heygen", audience="api")

- `keys`: a key is bound to one algorithm and checked when it is loaded; `remote_keys`: those of another service.
- `jws` and `jwt`: signed bytes and signed claims. What is wrong with a token is a `TokenError`, never anything else.
- `passwords`: Argon2id in threads of its own. `authenticate`: a name and a password against a `UserStore`.
- `sessions`: who is logged in, in memory, Redis or a database. `tokens`: access and refresh tokens for sessions.
- `throttle`: attempts by account and by address. `audit`: what happened, as typed values. `logins`: all put together.
- `access`: roles, permissions, wildcards, as pure functions.

`cryptography` loads when `passwords.argon2` opens, and with the first key of two halves.
"""

from __future__ import annotations

from heykit.errors import TokenError
from heykit.security import (
    access,
    audit,
    jws,
    jwt,
    keys,
    logins,
    passwords,
    remote_keys,
    sessions,
    throttle,
    tokens,
)
from heykit.security.authentication import authenticate
from heykit.security.protocol import Account, UserStore

__all__ = [
    "Account",
    "TokenError",
    "UserStore",
    "access",
    "audit",
    "authenticate",
    "jws",
    "jwt",
    "keys",
    "logins",
    "passwords",
    "remote_keys",
    "sessions",
    "throttle",
    "tokens",
]
