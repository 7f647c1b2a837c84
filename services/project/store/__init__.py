"""All SQL of the project service; values of variables are encrypted on their way in."""
