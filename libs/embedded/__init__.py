"""The platform's own PostgreSQL, NATS and Envoy, from wheels: found, prepared, started and supervised."""
