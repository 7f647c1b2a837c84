"""From a tree of files and settings to a build plan: pure data, made the same way by the platform and by `lr`."""
