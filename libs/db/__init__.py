"""PostgreSQL: pool, transactions, migrations, leases, notifications. asyncpg is spoken only here."""

from libs.db.database import Connection, Database, Row, Tx, open_database
from libs.db.lease import leased, run_leased
from libs.db.notify import listen, wake_on

__all__ = ["Connection", "Database", "Row", "Tx", "leased", "listen", "open_database", "run_leased", "wake_on"]
