"""The outside of build: archives, the project service, language runtimes, the sandboxed builder."""
