"""Inbound messages' workflows: a state machine, its step messages and timeouts, and its routes."""
