"""All of Leadline in one process over embedded adapters, and the `leadline` command."""

__version__ = "0.1.0"
