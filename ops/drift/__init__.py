"""Drift: what runs, compared with what the stack's state declares, field by field."""
