"""Adapters of the AiStore port, one module each."""
