"""The other end of every channel: takes what Alertmanager sends, as the real services would, and keeps it."""
