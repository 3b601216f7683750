"""The HTTP API under /v1: each route parses, calls a concept, and renders its answer."""
