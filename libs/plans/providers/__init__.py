"""One module per kind of source: `detects(tree)` gives evidence, `plan(tree, settings)` gives the plan."""
