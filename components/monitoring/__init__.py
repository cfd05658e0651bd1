"""Prometheus, Grafana and the exporters."""
