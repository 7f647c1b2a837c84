"""Structured logs: JSON lines, or coloured ones on a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Any, cast

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger


def get_logger(name: str) -> FilteringBoundLogger:
    """Gives the log of one part; events are constant `noun.verb` strings with fields beside them."""
    return cast("FilteringBoundLogger", structlog.get_logger(name).bind(part=name))


def configure(service: str, *, pretty: bool | None = None, level: str = "info") -> None:
    """Sets up logging for this process, to standard error; `pretty` None: coloured when that is a terminal."""
    terminal = sys.stderr.isatty() if pretty is None else pretty
    # Tracebacks as plain text: the richer kinds print local variables, and with them secrets.
    plain = structlog.dev.plain_traceback
    console = structlog.dev.ConsoleRenderer(exception_formatter=plain)
    renderer: Any = console if terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _with_trace,
            _with_service(service),
            structlog.dev.set_exc_info if terminal else structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")


def _with_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = f"{context.trace_id:032x}"
    return event


def _with_service(service: str) -> Any:  # noqa: ANN401 - structlog's own processor type
    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.setdefault("service", service)
        return event

    return add
