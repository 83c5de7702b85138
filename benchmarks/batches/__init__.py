"""What ``batch_key`` does to batches."""
