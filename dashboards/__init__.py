"""Dashboards as code: `dashboards.registry.render` returns the JSON files that Grafana provisions."""
