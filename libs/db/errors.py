"""asyncpg's errors become the six kinds, once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from libs.kernel.errors import Conflict, Invalid, Unavailable

AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InsufficientResourcesError,
    ConnectionError,
    TimeoutError,
    OSError,
)


@contextmanager
def translated() -> Iterator[None]:
    """Runs its body; what PostgreSQL refuses comes out as a Failure, its detail kept as the cause."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise Conflict(f"It exists already ({error.constraint_name}).") from error
    except asyncpg.CharacterNotInRepertoireError as error:
        raise Invalid("It holds a NUL character, which nothing here can store.") from error
    except asyncpg.DiskFullError as error:
        raise Unavailable("The disk of the database is full.", hint="Free some space; it goes on by itself.") from error
    except AWAY as error:
        raise Unavailable("The database is away or busy.", hint="Try again in a moment.") from error
    except asyncpg.InternalClientError as error:
        # The server's last word came while nobody listened: the driver knows that it ends, not yet that it ended.
        raise Unavailable("The database connection was lost.", hint="Try again in a moment.") from error
    except asyncpg.InterfaceError as error:
        if "closed" in str(error) or "released" in str(error):
            raise Unavailable("The database connection was lost.", hint="Try again in a moment.") from error
        raise
