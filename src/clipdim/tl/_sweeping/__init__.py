"""What ``tl.sweep`` is made of: the fits in processes, the file of finished ones."""
