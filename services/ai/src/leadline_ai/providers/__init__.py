"""Language models behind a provider's API: the Provider port, its adapters, and single calls through it."""
