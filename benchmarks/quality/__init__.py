"""How good embeddings of cells are that were held out."""
