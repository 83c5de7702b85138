"""How well new cells, missing modalities and updates work, and at what size."""
