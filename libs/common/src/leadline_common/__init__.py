"""What every Leadline service shares: message contracts, the broker port, process lifecycle, telemetry."""

__version__ = "0.1.0"
