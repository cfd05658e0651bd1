"""Backups, as a person handles them: taken, listed, restored, proved."""
