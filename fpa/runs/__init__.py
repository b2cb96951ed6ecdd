"""A training's identity and its folder, and the device it runs on: what training and evaluation share."""
