"""What ``tl.sweep`` is made of: arguments, fits in processes, the file of finished fits."""

from clipdim.tl._sweeping.arguments import check_out_dims, check_path, check_slot, choose_jobs, paired_labels
from clipdim.tl._sweeping.file import SweepFile
from clipdim.tl._sweeping.plan import Plan, Record, run_fits

__all__ = [
    "Plan",
    "Record",
    "SweepFile",
    "check_out_dims",
    "check_path",
    "check_slot",
    "choose_jobs",
    "paired_labels",
    "run_fits",
]
