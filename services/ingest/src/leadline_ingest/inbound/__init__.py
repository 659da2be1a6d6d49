"""Inbound messages: accepted once each, through either entrypoint."""
