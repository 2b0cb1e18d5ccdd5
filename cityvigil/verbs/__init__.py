"""The verbs of the command line, a module each: `add_to(subparsers)` declares one, its `run` does it."""
