"""What of a URL may be shown."""

from __future__ import annotations


def shown_host(url: str) -> str | None:
    """Give the host and port of a URL, "" where it names none; None where they might be a part of its credentials.

    A password that holds an unescaped /, ? or @ makes the host ambiguous.
    """
    authority = url.partition("://")[2].partition("?")[0].partition("/")[0]
    if url.count("@") > 1 or ("@" in url and "@" not in authority):
        return None
    return authority.rpartition("@")[2]
