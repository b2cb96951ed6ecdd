"""Data sets: from their source to one memory-mapped array of prepared images."""
