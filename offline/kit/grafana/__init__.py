"""The Grafana double that the image kit packs when Grafana's image is not available; see README.md."""
