"""Calibration of ``clipdim.tl.shared_dimension`` where the number of shared dimensions is known."""
