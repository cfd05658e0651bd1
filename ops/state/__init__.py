"""Pulumi's state: its backend, locks, copies and moves."""
