"""Drift detection: compares running resources with the stack's state, field by field."""
