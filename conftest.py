"""Makes the real servers available to every test."""

pytest_plugins = ["leadline_testing.pytest_servers"]
