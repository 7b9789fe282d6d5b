"""Applies the maps to the first records of an input, and describes the results."""
