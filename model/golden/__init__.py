"""Golden models: what the hardware must compute. The hardware never imports this package."""
