"""What people and programs read when the edge itself has to answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from libs.protogen.envoy.config.accesslog.v3.accesslog_pb2 import (
    AccessLogFilter,
    AndFilter,
    ComparisonFilter,
    HeaderFilter,
    ResponseFlagFilter,
    StatusCodeFilter,
)
from libs.protogen.envoy.config.core.v3.base_pb2 import DataSource, RuntimeUInt32
from libs.protogen.envoy.config.core.v3.substitution_format_string_pb2 import SubstitutionFormatString
from libs.protogen.envoy.config.route.v3.route_components_pb2 import HeaderMatcher
from libs.protogen.envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    LocalReplyConfig,
    ResponseMapper,
)
from libs.protogen.envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from libs.protogen.envoy.type.matcher.v3.string_pb2 import StringMatcher
from services.router.adapters.xds.wire import header

API: Final = "/api/"
# Seconds after which the same call is worth trying again.
RETRY_SOON: Final = 1


@dataclass(frozen=True, slots=True)
class _Problem:
    """A problem document, as the gateway would write it."""

    kind: str
    title: str
    detail: str
    hint: str


@dataclass(frozen=True, slots=True)
class _Reply:
    """One thing that goes wrong: how Envoy says so, what the visitor of an app reads, and what a caller of the API."""

    # Envoy's flags for it, or the status it answers with.
    on: tuple[str, ...] | HTTPStatus
    sentence: str
    problem: _Problem


_AWAY: Final = "Away for now"
_REPLIES: Final = (
    _Reply(
        ("UH",),
        "Nothing healthy runs here right now. Try again in a moment; the app's logs say why.",
        _Problem("unavailable", _AWAY, "The API is away right now.", "Ask again in a moment."),
    ),
    _Reply(
        ("UF",),
        "What runs here does not accept connections right now. Try again in a moment; its logs say why.",
        _Problem("unavailable", _AWAY, "The API does not accept connections right now.", "Ask again in a moment."),
    ),
    _Reply(
        ("UC", "UR"),
        "What runs here closed the connection before it answered. Its logs may say why.",
        _Problem(
            "unavailable",
            _AWAY,
            "The API closed the connection before it answered.",
            "Look whether the call was carried out, then ask again.",
        ),
    ),
    _Reply(
        ("UPE",),
        "What runs here sent an answer that is not valid HTTP. Its logs may say why.",
        _Problem(
            "internal",
            "The platform made a mistake",
            "The API sent an answer that is not valid HTTP.",
            "Tell the operator the request_id.",
        ),
    ),
    _Reply(
        ("UT", "SI"),
        "Nothing moved for 15 minutes, so the request was ended. Answer earlier, or stream.",
        _Problem("unavailable", _AWAY, "Nothing moved for 15 minutes, so the request was ended.", "Ask again."),
    ),
    _Reply(
        ("UO",),
        "More requests wait here than the edge can hold. Try again in a moment.",
        _Problem("unavailable", _AWAY, "More requests wait than the edge can hold.", "Ask again in a moment."),
    ),
    _Reply(
        HTTPStatus.BAD_REQUEST,
        "The edge does not pass this request on: its path or its headers are not valid HTTP.",
        _Problem(
            "invalid",
            "The request is malformed",
            "The edge does not pass this request on: its path or its headers are not valid.",
            "A path holds no NUL, and other special characters percent-encoded.",
        ),
    ),
    _Reply(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "The path and the headers of this request are longer than the edge takes: 32 KiB.",
        _Problem(
            "exhausted",
            "Too large",
            "The path and the headers of this request are longer than the edge takes: 32 KiB.",
            "Send what is long in the body.",
        ),
    ),
)


def local_replies(base_domain: str) -> LocalReplyConfig:
    """Callers of the API get problem documents, visitors of apps, which are below `base_domain`, a sentence.

    Before Envoy has read the whole head of a request, it does not know what that is for: then it is a sentence.
    """
    mappers = [_to_callers(reply, base_domain) for reply in _REPLIES]
    mappers += [
        ResponseMapper(filter=_on(reply), body=DataSource(inline_string=reply.sentence + "\n")) for reply in _REPLIES
    ]
    return LocalReplyConfig(mappers=mappers)


def _to_callers(reply: _Reply, base_domain: str) -> ResponseMapper:
    problem = reply.problem
    document = {
        "type": f"urn:lightrail:problem:{problem.kind}",
        "title": problem.title,
        "status": "%RESPONSE_CODE%",
        "detail": problem.detail,
        "kind": problem.kind,
        "hint": problem.hint,
        "request_id": "%REQ(X-REQUEST-ID)%",
    }
    app = re.escape(base_domain).replace("\\-", "-")
    is_call = HeaderMatcher(name=":path", string_match=StringMatcher(prefix=API))
    is_app = StringMatcher(safe_regex=RegexMatcher(regex=rf"(?i)[^.:]+\.{app}(:[0-9]+)?"))
    is_no_app = HeaderMatcher(name=":authority", string_match=is_app, invert_match=True)
    both = [AccessLogFilter(header_filter=HeaderFilter(header=one)) for one in (is_call, is_no_app)]
    return ResponseMapper(
        filter=AccessLogFilter(and_filter=AndFilter(filters=[_on(reply), *both])),
        body_format_override=SubstitutionFormatString(
            json_format=ParseDict(document, Struct()),
            omit_empty_values=True,
            content_type="application/problem+json",
        ),
        headers_to_add=[header("retry-after", str(RETRY_SOON))] if problem.kind == "unavailable" else [],
    )


def _on(reply: _Reply) -> AccessLogFilter:
    if isinstance(reply.on, tuple):
        return AccessLogFilter(response_flag_filter=ResponseFlagFilter(flags=reply.on))
    # Envoy wants a name, under which nothing is ever set.
    status = RuntimeUInt32(default_value=int(reply.on), runtime_key="lightrail.none")
    return AccessLogFilter(
        status_code_filter=StatusCodeFilter(comparison=ComparisonFilter(op=ComparisonFilter.EQ, value=status))
    )
