"""Instants: aware datetimes in UTC, to the microsecond, as both databases keep them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def instant(seconds: float) -> datetime:
    """Give the instant that lies so many seconds after the epoch."""
    return datetime.fromtimestamp(seconds, UTC)


def microseconds(moment: datetime) -> int:
    """Count the microseconds since the epoch, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(count: int) -> datetime:
    """Give the instant so many microseconds after the epoch; OverflowError beyond the year 9999."""
    return _EPOCH + count * _MICROSECOND
