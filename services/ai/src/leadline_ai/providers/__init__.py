"""Adapters of the Provider port, one module each."""
