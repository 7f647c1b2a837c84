"""Traces: spans kept in a ring buffer of this process; W3C context in and out of headers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

KEPT_SPANS: Final = 2000
_propagator: Final = TraceContextTextMapPropagator()


class Ring(SpanExporter):
    """Keeps the last spans of this process, for `/traces` on its telemetry port."""

    def __init__(self, size: int = KEPT_SPANS) -> None:
        self._spans: deque[ReadableSpan] = deque(maxlen=size)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Adds finished spans; the oldest leave."""
        self._spans.extend(spans)
        return SpanExportResult.SUCCESS

    def rows(self) -> list[dict[str, object]]:
        """The spans kept now, oldest first, times in nanoseconds since 1970."""
        return [
            {
                "name": span.name,
                "trace_id": f"{span.context.trace_id:032x}" if span.context else "",
                "span_id": f"{span.context.span_id:016x}" if span.context else "",
                "parent_id": f"{span.parent.span_id:016x}" if span.parent else "",
                "start": span.start_time,
                "end": span.end_time,
                "status": span.status.status_code.name,
                "links": [f"{link.context.trace_id:032x}" for link in span.links],
            }
            for span in self._spans
        ]


RING: Final = Ring()


def start_tracing(service: str) -> None:
    """Makes spans of this process go to the ring; call once, at the start."""
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(SimpleSpanProcessor(RING))
    trace.set_tracer_provider(provider)


@contextmanager
def span(name: str, *, parent: str = "", link: str = "", kind: SpanKind = SpanKind.INTERNAL) -> Iterator[trace.Span]:
    """Runs its body in a span; `parent` and `link` are `traceparent` values from elsewhere."""
    tracer = trace.get_tracer("lightrail")
    context = _propagator.extract({"traceparent": parent}) if parent else None
    links = []
    if link:
        linked = trace.get_current_span(_propagator.extract({"traceparent": link})).get_span_context()
        links = [Link(linked)] if linked.is_valid else []
    with tracer.start_as_current_span(name, context=context, links=links, kind=kind) as current:
        yield current


@contextmanager
def open_span(name: str, *, kind: SpanKind = SpanKind.INTERNAL) -> Iterator[str]:
    """Runs its body beside a span, and gives the span's `traceparent`; empty when nothing is traced.

    Unlike `span` it does not become the current one, so its body may begin in one task and end in another, as that of
    a generator does.
    """
    opened = trace.get_tracer("lightrail").start_span(name, kind=kind)
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, trace.set_span_in_context(opened))
    try:
        yield carrier.get("traceparent", "")
    except GeneratorExit:
        raise  # whoever reads has seen enough
    except BaseException as error:
        opened.record_exception(error)
        opened.set_status(StatusCode.ERROR)
        raise
    finally:
        opened.end()


def inject() -> str:
    """The current span as a `traceparent` value; empty when there is none."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent", "")


def extract(headers: Mapping[str, str]) -> str:
    """The `traceparent` among headers, or empty."""
    return headers.get("traceparent", "")
