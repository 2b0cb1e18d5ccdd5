"""The edges that read the readings log: detect (Faust, to alerts), record (the historian)."""
