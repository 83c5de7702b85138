"""What ``tl.diagnose`` is made of: the measures of a run, and the checks of them by subject."""
