"""Sends a run's spans over OTLP/HTTP, with OpenTelemetry's own exporter."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fedvoxel import __version__
from fedvoxel.errors import ConfigError, TrackerError
from fedvoxel.ops.destination import check_destination
from fedvoxel.ops.tracing.spans import RunTrace, Span

if TYPE_CHECKING:
    from datetime import datetime

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

_AT_ONCE = 200
_PATH = "/v1/traces"
_TIMEOUT_S = 10.0
"""For a batch with all its further tries."""
_SECRETS = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
_EXTRA = "traces need OpenTelemetry's SDK and exporter: pip install -c constraints.txt '.[tracing]'"


def traces_url(url: str) -> str:
    """Returns where spans go: the address with OTLP's own path behind it, if it does not end with that.

    Raises:
        ConfigError: It is no HTTP address, holds a login, or is a remote one without TLS to which a token would go.

    Source: OpenTelemetry protocol exporter, "Endpoint URLs for OTLP/HTTP".
    """
    check_destination(url, "the collector", _SECRETS, _SECRETS[0])
    parts = urlsplit(url)
    base = parts.path.rstrip("/").removesuffix(_PATH)
    return parts._replace(path=base + _PATH).geturl()


class TraceSender:
    """Sends each span of a run once, as soon as it is over."""

    def __init__(self, url: str) -> None:
        """Asks nobody yet.

        Args:
            url: As `traces_url` returns it. Tokens and certificates come from OpenTelemetry's own variables.

        Raises:
            ConfigError: The packages for it are not installed.
        """
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        except ImportError:
            raise ConfigError(_EXTRA) from None
        import requests

        # What the exporter says of each try may quote the collector's answer: one line comes of all of it, from here.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        self._statuses: list[int] = []
        session = requests.Session()
        session.hooks["response"].append(lambda response, **_: self._statuses.append(response.status_code))
        self._exporter = OTLPSpanExporter(endpoint=url, timeout=_TIMEOUT_S, session=session)
        self._sent: set[str] = set()

    def send(self, trace: RunTrace) -> int:
        """Sends what is over and was not sent, and returns how many spans that were.

        Raises:
            TrackerError: The collector did not take all of it; what it took is not sent again by this sender.
        """
        from opentelemetry.sdk.trace.export import SpanExportResult

        new = [span for span in trace.spans if span.id not in self._sent]
        for begin in range(0, len(new), _AT_ONCE):
            some = new[begin : begin + _AT_ONCE]
            self._statuses.clear()
            if self._exporter.export(_readable(trace, some)) is not SpanExportResult.SUCCESS:
                raise TrackerError(
                    f"the collector did not take the spans: {self._reason()}. Nothing is lost: give the command again"
                )
            self._sent.update(span.id for span in some)
        return len(new)

    def _reason(self) -> str:
        if not self._statuses:
            return "it cannot be reached, or did not answer in time"
        status = self._statuses[-1]
        if status in (401, 403):
            return f"it refused the token (HTTP {status}); look at OTEL_EXPORTER_OTLP_HEADERS"
        return f"it answered HTTP {status}"


def _readable(trace: RunTrace, spans: Sequence[Span]) -> "list[ReadableSpan]":
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import Status, StatusCode

    # Made here, not detected: what the machine is called, and who runs this, is nobody's business.
    resource = Resource({"service.name": "fedvoxel", "service.version": __version__})
    scope = InstrumentationScope("fedvoxel", __version__)
    return [
        ReadableSpan(
            name=span.name,
            context=_context(trace, span.id),
            parent=_context(trace, span.parent) if span.parent else None,
            resource=resource,
            attributes=dict(span.words),
            events=[Event(one.name, dict(one.words), _nanoseconds(one.at)) for one in span.happenings],
            status=Status(StatusCode.ERROR, span.trouble) if span.trouble else Status(StatusCode.OK),
            start_time=_nanoseconds(span.begins),
            end_time=_nanoseconds(span.ends),
            instrumentation_scope=scope,
        )
        for span in spans
    ]


def _context(trace: RunTrace, span: str) -> "SpanContext":
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(int(trace.id, 16), int(span, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _nanoseconds(moment: "datetime") -> int:
    # Not timestamp() * 1e9: a double holds today's nanoseconds to some hundreds only.
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1_000
