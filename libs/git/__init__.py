"""What git's words look like, checked: urls, names of branches and commits, watched paths, lines of its protocol.

Nothing here runs git or does I/O.
"""
