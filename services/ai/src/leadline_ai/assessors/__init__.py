"""Adapters of the Assessor port, one module each."""
