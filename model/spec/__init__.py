"""Plain frozen data that the hardware, the golden models, the benches and the runtime share.

Nothing here computes an answer: widths, latencies, layouts, names and their checks only.
"""
