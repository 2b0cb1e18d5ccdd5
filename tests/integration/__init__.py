"""Tests that need real Mosquitto, Kafka and PostgreSQL."""
