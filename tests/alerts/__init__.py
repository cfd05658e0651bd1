"""Alerts end to end: a real Alertmanager with the rendered configuration, and the sink at the other end."""
