"""What keeps a caller well while something it needs is not: each a policy that is a value, and a decorator.

    @retry(Retry(attempts=4, deadline=5), idempotent=True)   # tried again, a little later each time
    @breaker(Breaker(failures=5, cooldown=10))               # not asked while it is surely away
    @bulkhead(Bulkhead(at_once=20, waiting=100))             # never by more at once than it bears
    async def rate(currency: str) -> float: ...

    price = with_fallback(rate, last_known_rate, on=(Unavailable,))

A decorator keeps the signature of an async function, takes its clock as a parameter, and knows no framework. From the
outside in, the order above is the useful one: each attempt asks the breaker, and waits for its place. Cancellation is
never a failure, and goes through all of them at once.
"""

from heykit.resilience._breaker import Breaker, breaker
from heykit.resilience._bulkhead import Bulkhead, bulkhead
from heykit.resilience._fallback import with_fallback
from heykit.resilience._retry import Budget, Retry, pauses, retry

__all__ = ["Breaker", "Budget", "Bulkhead", "Retry", "breaker", "bulkhead", "pauses", "retry", "with_fallback"]
