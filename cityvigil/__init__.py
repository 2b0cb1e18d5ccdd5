"""The front door: command line, wiring, and the local services of one machine. Nothing imports it."""
