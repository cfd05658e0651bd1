"""The Grafana double that the image kit packs where Grafana cannot be had; see README.md."""
