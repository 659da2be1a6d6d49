"""Runs that were cancelled: kept in the store, looked up before each request."""
