"""Fixtures every test may use; they live in tests/services.py."""

pytest_plugins = ["tests.services"]
