"""All SQL of build."""
