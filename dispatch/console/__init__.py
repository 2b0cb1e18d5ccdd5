"""The console: an HTTP API, live events, and pages on which people see alerts and handle cases."""
