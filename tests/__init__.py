"""Proof: units and laws, real services (integration), whole stories (acceptance), the console (browser)."""
