"""Accounts: signing up, logging in, and the limits on both."""
