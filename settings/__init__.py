"""Typed settings: the models of stack and product files, with defaults and units, and their loader."""
