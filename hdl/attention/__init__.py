"""Attention on the base die: sequencer, softmax and merge."""
