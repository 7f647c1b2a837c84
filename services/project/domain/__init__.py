"""Pure rules of projects: names, settings, variables and how their references become text."""
