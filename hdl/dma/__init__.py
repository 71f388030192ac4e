"""The DMA engine: descriptor rings, moves of KV blocks through a buffer, completions."""
