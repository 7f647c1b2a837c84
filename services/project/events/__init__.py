"""Door 2: facts of the project service as they leave by the outbox."""
