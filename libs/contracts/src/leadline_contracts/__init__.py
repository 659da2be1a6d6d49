"""What Leadline's services say to each other: messages, queues, errors."""

__version__ = "0.1.0"
