"""How fast the parts are, and what fits cost at size."""
