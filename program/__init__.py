"""Glue: turns the settings of a stack into the arguments of components."""
