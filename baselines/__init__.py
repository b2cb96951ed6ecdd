"""Generators to compare the painters with, each through the contract of fpa/models/interface.py."""
