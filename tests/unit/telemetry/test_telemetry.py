from __future__ import annotations

import json
import subprocess
import sys

import pytest

from libs.telemetry import extract, inject, span
from libs.telemetry.traces import RING, start_tracing

PROGRAM = """
import sys
from libs.telemetry import configure, get_logger, span
from libs.telemetry.traces import start_tracing
configure("deploy", pretty=sys.argv[1] == "pretty")
start_tracing("deploy")
with span("work"):
    get_logger("loop").info("step.taken", key="a")
try:
    password = "s3cret-value"
    raise ValueError("it broke")
except ValueError:
    get_logger("loop").warning("step.failed", exc_info=True)
"""


def said(kind: str) -> str:
    done = subprocess.run([sys.executable, "-c", PROGRAM, kind], capture_output=True, text=True, check=True)
    return done.stderr


def test_a_service_logs_one_json_object_a_line_with_its_trace() -> None:
    first, second = (json.loads(line) for line in said("json").splitlines())
    assert (first["event"], first["service"], first["part"], first["key"]) == ("step.taken", "deploy", "loop", "a")
    assert len(first["trace_id"]) == 32
    assert "ValueError: it broke" in second["exception"]


@pytest.mark.parametrize("kind", ["json", "pretty"])
def test_a_traceback_shows_no_local_variables(kind: str) -> None:
    text = said(kind)
    assert "it broke" in text
    assert "s3cret-value" not in text.replace('password = "s3cret-value"', "")


def test_a_terminal_gets_lines_for_people() -> None:
    text = said("pretty")
    assert "step.taken" in text
    assert not text.lstrip().startswith("{")


def test_a_span_goes_on_from_its_parent_and_links_to_its_cause() -> None:
    start_tracing("test")
    with span("cause"):
        cause = inject()
    with span("call"):
        sent = inject()
    with span("serve", parent=extract({"traceparent": sent})):
        pass
    with span("react", link=cause):
        pass
    rows = {str(row["name"]): row for row in RING.rows()}
    assert rows["serve"]["trace_id"] == rows["call"]["trace_id"]
    assert rows["react"]["trace_id"] != rows["cause"]["trace_id"]
    assert rows["react"]["links"] == [rows["cause"]["trace_id"]]
