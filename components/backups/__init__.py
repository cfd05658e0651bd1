"""Encrypted backups by restic."""
