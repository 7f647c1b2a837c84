"""gRPC: servers that know their caller, peers that carry it on, and errors translated once."""

from libs.rpc.client import Peer
from libs.rpc.context import acting, current
from libs.rpc.exchange import exchange_with
from libs.rpc.identity import Identity
from libs.rpc.server import Server

__all__ = ["Identity", "Peer", "Server", "acting", "current", "exchange_with"]
