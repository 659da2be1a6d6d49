"""Requests that are sent again: what is known of their Idempotency-Key, and the first answer."""
