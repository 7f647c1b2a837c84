"""Other tenants' ids, on every RPC: such tests are made from the protos, so an RPC of tomorrow is tried tomorrow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from libs.rpc.authorization import Access, table


@dataclass(frozen=True, slots=True)
class Rpc:
    """One RPC as its proto describes it."""

    # "lightrail.deploy.v1.DeploymentService/GetDeployment"
    name: str
    access: Access
    # Fields of the request that hold ids or lists of them, in the order of the proto; dotted inside of messages.
    ids: tuple[str, ...]
    request: type[Message]
    response: type[Message]
    streams_in: bool
    streams_out: bool

    @property
    def short(self) -> str:
        """The method's own name: "GetDeployment"."""
        return self.name.rpartition("/")[2]

    @property
    def owner(self) -> str:
        """The part of the platform that serves it: "deploy"; "common" when every one does."""
        return self.name.split(".")[1]


def rpcs(service: str = "") -> list[Rpc]:
    """Returns every RPC of the platform in the order of the table, or those of one service ("ProjectService")."""
    return [_rpc(name) for name in table() if service in ("", name.partition("/")[0].rpartition(".")[2])]


def foreign(shape: Sequence[str], own: Mapping[str, str], theirs: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yields the ids of requests that must find nothing: all theirs, and each of theirs among one's own."""
    yield {name: theirs[name] for name in shape}
    for name in shape:
        if name.endswith("_ids"):
            yield {each: own[each] for each in shape} | {name: f"{own[name]},{theirs[name]}"}
    if len(shape) > 1:
        for name in shape:
            yield {each: (theirs if each == name else own)[each] for each in shape}


def filled(rpc: Rpc, ids: Mapping[str, str], filling: Mapping[str, object]) -> Message:
    """Returns a request with these ids, and what it needs besides; several ids of a list are parted by commas."""
    request = rpc.request(**filling)
    for path, value in ids.items():
        *way, last = path.split(".")
        message = request
        for step in way:
            message = getattr(message, step)
        if last.endswith("_ids"):
            getattr(message, last).extend(value.split(","))
        else:
            setattr(message, last, value)
    return request


def _rpc(name: str) -> Rpc:
    method = Default().FindMethodByName(name.replace("/", "."))
    return Rpc(
        name=name,
        access=table()[name].access,
        ids=tuple(_ids(method.input_type)),
        request=GetMessageClass(method.input_type),
        response=GetMessageClass(method.output_type),
        streams_in=method.client_streaming,
        streams_out=method.server_streaming,
    )


def _ids(message: Descriptor) -> Iterator[str]:
    for field in message.fields:
        if field.type == FieldDescriptor.TYPE_STRING and field.name.endswith(("_id", "_ids")):
            yield field.name
        elif field.message_type is not None and field.message_type.full_name.startswith("lightrail."):
            if field.message_type.GetOptions().map_entry:
                continue
            yield from (f"{field.name}.{inner}" for inner in _ids(field.message_type))
