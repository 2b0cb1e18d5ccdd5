"""What decides: pure state transitions over numpy arrays, from readings to alerts.

A program (program.py) is the rules compiled against the registry for one partition; a partition (fold.py)
folds the log into alerts with it. Nothing here does I/O, reads a clock or draws a random number.
"""
