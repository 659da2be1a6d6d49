"""Run requests, their claims on prospects, and the outbox that publishes them."""
