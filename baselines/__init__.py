"""Generators to compare the painters with, each through the interface of fpa/models/interface.py."""
