"""Whether the right features are named for shared and for private directions."""
