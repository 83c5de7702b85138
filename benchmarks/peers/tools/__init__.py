"""One file for each tool, with its settings."""
