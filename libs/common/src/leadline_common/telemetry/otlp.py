"""Spans sent to a collector by OpenTelemetry's SDK: https://opentelemetry.io/docs/specs/otlp/"""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import NoOpTracer, Tracer

from leadline_common import __version__
from leadline_contracts.errors import SettingsError

_FLUSH_SECONDS = 3.0
_ATTRIBUTE_LENGTH = 256
"""Characters of an attribute; some are ids that other systems chose."""
log = structlog.get_logger()


@contextmanager
def exporting(service: str, endpoint: str) -> Iterator[Tracer | None]:
    """Yield a tracer whose spans are sent to the collector; None where OTEL_SDK_DISABLED says so.

    They are sent by a thread, in batches; where that cannot keep up or nobody answers, spans are dropped.
    The tracer is not registered with OpenTelemetry's API: what libraries would record, among it the text that
    a model is asked, is no span of ours. On leaving, what is left is sent, for three seconds at most.
    Raises SettingsError where an OTEL_… variable has a value that cannot be used.
    """
    try:
        provider = TracerProvider(
            resource=Resource.create(
                {"service.name": service, "service.namespace": "leadline", "service.version": __version__}
            ),
            span_limits=SpanLimits(max_attribute_length=_ATTRIBUTE_LENGTH),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(BatchSpanProcessor(_Reported(OTLPSpanExporter(), endpoint)))
    except ValueError as error:
        raise SettingsError(f"an OTEL_ variable cannot be used: {error}") from None
    # It tells of each attempt to send, where `_Reported` tells of the first that fails.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    tracer = provider.get_tracer("leadline", __version__)
    try:
        yield None if isinstance(tracer, NoOpTracer) else tracer
    finally:
        # A thread that nobody waits for: an attempt to connect cannot be cut off.
        closing = threading.Thread(target=provider.shutdown, name="flush of spans", daemon=True)
        closing.start()
        closing.join(_FLUSH_SECONDS)


class _Reported(SpanExporter):
    """An exporter whose first failure, and first success after it, are told in the log."""

    def __init__(self, exporter: SpanExporter, endpoint: str) -> None:
        self._exporter = exporter
        self._endpoint = endpoint
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._failing:
            log.warning("spans_not_exported", endpoint=self._endpoint, spans=len(spans))
        elif self._failing and not failed:
            log.info("spans_exported_again", endpoint=self._endpoint)
        self._failing = failed
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()
