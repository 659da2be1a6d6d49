"""Runs: what is to be scored, which run holds which prospect, and the outbox that publishes them."""
