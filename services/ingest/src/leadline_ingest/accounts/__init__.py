"""Accounts: signing up, logging in, and how often one may try."""
