"""How many calls a provider gets: as many as it bears (adaptive limiter), and when none (circuit breaker)."""
