"""Auth as other services meet it: over gRPC, on PostgreSQL, behind the real interceptor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from libs.bus import MemoryBus
from libs.db import Database
from libs.kernel.context import Actor, Ctx, Role, platform
from libs.kernel.errors import Conflict, Denied, Exhausted, Failure, Invalid, NotFound
from libs.kernel.ids import new_id
from libs.kernel.secret import Secret
from libs.protogen.lightrail.auth.v1 import auth_pb2 as pb
from libs.protogen.lightrail.auth.v1 import auth_pb2_grpc
from libs.protogen.lightrail.common.v1 import authorization_pb2
from libs.rpc import Identity, Peer, Server
from libs.rpc.authorization import table
from libs.runtime.clock import SystemClock
from tests.unit.auth.world import PASSWORD, SETUP_TOKEN
