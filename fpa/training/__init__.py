"""The training loop, its artifacts, its processes, and what a finished training gives."""
