"""Language models behind somebody's API: the Provider port, its adapters, and single calls through it."""
