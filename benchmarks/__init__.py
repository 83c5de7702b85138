"""Benchmarks: a folder for each question, see README.md; run from the root of the repository with ``python -m``."""
