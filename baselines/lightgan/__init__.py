"""LightGAN (FastGAN's small convolutional generator), the paper's first baseline."""
