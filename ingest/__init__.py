"""The edge where gateways' frames come in: received, decoded, put in order, packed, produced, answered.

Nothing is acknowledged before Kafka has it, or has the record of its rejection. Imports no other edge.
"""
