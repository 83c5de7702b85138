"""How clipdim does beside other tools."""
