"""A run: inputs and settings in, a fit out; how a stored fit becomes a model again, and how its training goes on."""
