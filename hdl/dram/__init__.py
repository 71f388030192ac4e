"""The memory channel of one pseudo-channel: its controller and its banks."""
