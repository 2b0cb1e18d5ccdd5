"""Why a command could not run.

`CannotRun` carries one line for a person: what is wrong, where, and what to do about it. The command line
prints it to standard error and exits with 2. It is never used for bad data and never hides a bug.
"""


class CannotRun(Exception):
    """The command cannot run here and now; its text says what to do."""
