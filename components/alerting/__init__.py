"""Alertmanager: routes, receivers, inhibitions and the texts of messages."""
