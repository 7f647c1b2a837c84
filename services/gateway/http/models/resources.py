"""Resources as people write them: "500m" of CPU, "512Mi" of memory."""

from __future__ import annotations

import re
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field

from libs.kernel.errors import Invalid
from libs.kernel.units import MIB, parse_bytes
from libs.protogen.lightrail.common.v1 import common_pb2
from services.gateway.http.models.base import INT32, INT64, Asked

_CPU: Final = re.compile(r"^(\d{1,7})m$|^(\d{1,4}(?:\.\d{1,3})?)$")
_MILLI: Final = 1000


def millicores(value: str | float) -> int:
    """Thousandths of a core in "500m", "0.5" or 0.5. ValueError when it is no amount of CPU."""
    match = _CPU.match(str(value))
    if not match:
        raise ValueError("It is no amount of CPU: write “500m”, or cores as in “0.5”.")
    amount = int(match[1]) if match[1] else round(float(match[2]) * _MILLI)
    if amount > INT32:
        raise ValueError("It is more CPU than any machine has.")
    return amount


def memory(value: str | int) -> int:
    """Bytes in "512Mi", "512MiB", "0.5g" or 536870912. ValueError when it is no amount of memory."""
    written = str(value)[:32]
    try:
        amount = parse_bytes(written + "B" if written.endswith("i") else written)
    except Invalid as error:
        raise ValueError("It is no amount of memory: write “512Mi”, or bytes as a number.") from error
    if amount > INT64:
        raise ValueError("It is more memory than any machine has.")
    return amount


_NOTHING: Final = "It is nothing. Leave it out, or write null, for the platform's default."


def _check_cpu(value: str | float) -> str | float:
    if millicores(value) == 0:
        raise ValueError(_NOTHING)
    return value


def _check_memory(value: str | int) -> str | int:
    if memory(value) == 0:
        raise ValueError(_NOTHING)
    return value


Cpu = Annotated[str | int | float, AfterValidator(_check_cpu), Field(examples=["500m", 0.5])]
Memory = Annotated[str | int, AfterValidator(_check_memory), Field(examples=["512Mi", 536870912])]


class Resources(Asked):
    """What an instance asks for and may use at most; null means the platform's default."""

    cpu_request: Cpu | None = None
    memory_request: Memory | None = None
    cpu_limit: Cpu | None = None
    memory_limit: Memory | None = None

    @classmethod
    def of(cls, wire: common_pb2.Resources) -> Self:
        """Reads them from their message."""
        return cls(
            cpu_request=_show_cpu(wire.cpu_request_millicores),
            memory_request=_show_memory(wire.memory_request_bytes),
            cpu_limit=_show_cpu(wire.cpu_limit_millicores),
            memory_limit=_show_memory(wire.memory_limit_bytes),
        )

    def wire(self) -> common_pb2.Resources:
        """The message."""
        return common_pb2.Resources(
            cpu_request_millicores=millicores(self.cpu_request or 0),
            memory_request_bytes=memory(self.memory_request or 0),
            cpu_limit_millicores=millicores(self.cpu_limit or 0),
            memory_limit_bytes=memory(self.memory_limit or 0),
        )


def _show_cpu(amount: int) -> str | None:
    return f"{amount}m" if amount > 0 else None


def _show_memory(amount: int) -> str | int | None:
    if amount <= 0:
        return None
    return f"{amount // MIB}Mi" if amount % MIB == 0 else amount
