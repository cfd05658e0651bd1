"""What the double of Grafana is run with: a provisioning folder, and a data source that answers."""

import json
from pathlib import Path
from typing import Any

import yaml

from offline.kit.grafana.grafana_double.library import Library
from offline.kit.grafana.grafana_double.settings import Settings

PROMETHEUS = {
    **{"name": "Prometheus", "type": "prometheus", "uid": "prometheus", "url": "http://prometheus:9090"},
    **{"access": "proxy", "isDefault": True, "editable": False},
}


class Provisioning:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.boards = root / "boards"
        for folder in (root / "datasources", root / "dashboards", self.boards):
            folder.mkdir()

    def data_sources(self, *entries: dict[str, Any], file: str = "all.yaml") -> None:
        text = yaml.safe_dump({"apiVersion": 1, "datasources": list(entries)})
        (self.root / "datasources" / file).write_text(text)

    def providers(self, *entries: dict[str, Any], file: str = "all.yaml") -> None:
        text = yaml.safe_dump({"apiVersion": 1, "providers": list(entries)})
        (self.root / "dashboards" / file).write_text(text)

    def board(self, file: str, content: dict[str, Any] | str) -> None:
        path = self.boards / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))

    def library(self) -> Library:
        library = Library(Settings(provisioning=self.root))
        library.load()
        return library
