"""`cityvigil bench faults`: a city whose processes are killed, held against one that nobody disturbed."""
