"""Training of the three enhancers: data, losses, one loop, one recipe per model."""
