"""What tests share: waiting, virtual time, faults, real PostgreSQL and NATS."""
