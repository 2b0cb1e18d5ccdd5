"""Channels that notices leave the house by: one small file each, all with the shape of channel.py."""
