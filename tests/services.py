"""Real Mosquitto, Kafka and PostgreSQL as fixtures."""
