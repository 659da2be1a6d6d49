"""Logging for people on a terminal and for machines everywhere else."""

import logging
import sys

import structlog

from leadline_common.telemetry.stderr import guard_stderr


def configure_logging(service: str, level: str = "INFO") -> None:
    """Send structlog events to standard error: readable on a terminal, one JSON object a line elsewhere.

    The libraries' own logs come out at warning and above, in the same form. A line that cannot be written is
    no error of whoever logs.
    """
    guard_stderr()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if sys.stderr.isatty():
        last: list[structlog.typing.Processor] = [
            # The default shows the local variables of every frame, and with them leads and keys.
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        ]
    else:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    # It logs every failed attempt to connect, and so do we, in one line of our own.
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    # It quotes each header of a trace context that cannot be read, and anybody can send those.
    logging.getLogger("opentelemetry.trace").setLevel(logging.ERROR)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
