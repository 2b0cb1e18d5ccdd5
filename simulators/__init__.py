"""A city that can be asked to misbehave: seeded networks, labelled faults, gateways over MQTT.

What it knows about its faults goes to its own truth file, never to a detector.
"""
