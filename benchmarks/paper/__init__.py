"""Whether the claims of the paper hold."""
