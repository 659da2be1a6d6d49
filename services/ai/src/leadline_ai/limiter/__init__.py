"""The adaptive limiter and the circuit breaker: how many calls a provider gets at once, and when none."""
