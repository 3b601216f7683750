"""The whole story of Flux, played with real processes: `scripts/demo`."""
