"""Checkpoints of the paper's public code (IDSIA/fpainter): their settings, names and tensors in ours."""
