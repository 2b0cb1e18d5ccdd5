"""What happens on a connection of the field, as state machines: bytes and times in, results and bytes out."""
