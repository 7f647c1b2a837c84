"""Logs, traces and metrics of the platform itself."""

from libs.kernel.lean import without

with without("rich", "psutil"):
    from libs.telemetry.logs import configure, get_logger
    from libs.telemetry.traces import extract, inject, open_span, span

__all__ = ["configure", "extract", "get_logger", "inject", "open_span", "span"]
