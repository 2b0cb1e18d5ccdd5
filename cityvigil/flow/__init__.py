"""`cityvigil bench flow`: a known load through everything that runs, and what came of it, counted exactly."""
