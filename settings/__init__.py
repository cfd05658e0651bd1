"""Typed settings: what stack and product files may say, with defaults, units and one loader."""
