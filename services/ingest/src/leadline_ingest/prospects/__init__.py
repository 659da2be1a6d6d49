"""Offers, and uploads of prospects: read as they arrive, ready as a whole."""
