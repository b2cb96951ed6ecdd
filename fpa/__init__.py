"""Fast Weight Painters: images as weight matrices, reproduced and measured."""

__version__ = "0.1.0"
