"""Where the platform connects to because a person said so: never to its own machine or network, unless allowed.

Ask `resolve` right before connecting, and connect to an address it gave, not to the name again: names change.
"""
