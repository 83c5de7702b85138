"""How true the intrinsic dimension is, and how few dimensions keep the quality."""
