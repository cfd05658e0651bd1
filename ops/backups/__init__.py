"""Backups from the command line: take, list, restore and verify them."""
