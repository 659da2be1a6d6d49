"""Inbound messages: taken in once, whatever way they come."""
