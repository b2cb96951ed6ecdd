"""Versions of what each stage computes.

A stage's number is raised when the same inputs and settings would give another output than before,
beyond rounding. What depends on the stage is then made again, and tables say so where they mix
versions. `tests/unit/test_golden.py` fails when an output changes and its number does not.
"""

STAGES = {"prepare": 1, "train": 2, "sample": 1, "features": 1, "score": 3}
