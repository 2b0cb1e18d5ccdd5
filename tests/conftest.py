"""Fixtures every test may use; they live in tests/services.py."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.services"]

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("cityvigil", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cityvigil")
