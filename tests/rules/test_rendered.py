"""The rules as stacks get them (thresholds, labels, links, language) are valid and say what they should."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from program.rules import log_rules, rules
from settings.alert_rules import AlertOverride, log_rule_files, rule_files
from settings.loader import Settings, load, read_stack_file
from settings.problems import LOADER
from tests.promtools import promtool
from tests.support.shipped_rules import alerts_in

ROOT = Path(__file__).resolve().parents[2]
STACKS = sorted(path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml"))
GRAFANA = "https://grafana.example"


def settings_of(stack: str, language: str = "", **thresholds: dict[str, Any]) -> Settings:
    settings = load(read_stack_file(ROOT, stack), stack, preview=True)
    said = settings.product
    changes = {name: AlertOverride.model_validate(change) for name, change in thresholds.items()}
    alerts = said.alerts.model_copy(update={"language": language or said.alerts.language})
    monitoring = said.monitoring.model_copy(update={"thresholds": {**said.monitoring.thresholds, **changes}})
    product = said.model_copy(update={"alerts": alerts, "monitoring": monitoring})
    return Settings(**{**vars(settings), "product": product})


def written(folder: Path, texts: dict[str, str]) -> list[Path]:
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [folder / name for name in texts]


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("stack", STACKS)
def test_promtool_takes_every_rule_file_of_every_shipped_stack(stack: str, language: str, tmp_path: Path) -> None:
    settings = settings_of(stack, language)
    made = rules(settings, GRAFANA)
    assert made.keys() >= rule_files(settings.product.name, settings.product.monitoring.logs.store).keys()
    result = promtool(["check", "rules", "--lint=all", "--lint-fatal", *written(tmp_path, made)], cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_prometheus_can_render_the_french_texts_of_log_rules_too(tmp_path: Path) -> None:
    # promtool reads neither LogsQL nor vmalert's `type`: it parses the annotations all the same.
    made = log_rules(settings_of("staging", "fr"), GRAFANA)
    assert made.keys() == log_rule_files("victorialogs").keys()
    for name, text in made.items():
        groups = yaml.load(text, LOADER)["groups"]  # noqa: S506 - a safe one
        for group in groups:
            group.pop("type", None)
            for rule in group["rules"]:
                rule["expr"] = "up == 0"
        made[name] = yaml.safe_dump({"groups": groups}, allow_unicode=True)
    result = promtool(["check", "rules", *written(tmp_path, made)], cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_alerts_of_a_french_stack_fire_with_french_words_their_own_figures_and_added_labels(tmp_path: Path) -> None:
    change = {"threshold": 0.25, "labels": {"notify_sms": "true"}}
    made = rules(settings_of("production", "fr", DiskSpaceLow=change), GRAFANA)
    files = ("host.yml", "product-tumulte.yml")
    links = {name: rule["annotations"] for file in files for name, rule in alerts_in(made[file]).items()}
    written(tmp_path, {name: made[name] for name in files})

    def fired(alert: str, labels: dict[str, str], summary: str, description: str) -> dict[str, Any]:
        said = {"summary": summary, "description": description}
        own = {key: links[alert][key] for key in ("runbook_url", "dashboard_url")}
        expected = {"exp_labels": {**at, **labels}, "exp_annotations": {**said, **own}}
        return {"eval_time": "10m", "alertname": alert, "exp_alerts": [expected]}

    at = {"product": "tumulte", "environment": "production"}
    disk = {"job": "node", "instance": "n:9100", "device": "/dev/sda1", "mountpoint": "/", "fstype": "ext4"}
    of_disk = ", ".join(f'{key}="{value}"' for key, value in (at | disk).items())
    series = {
        f"node_filesystem_avail_bytes{{{of_disk}}}": "20x40",
        f"node_filesystem_size_bytes{{{of_disk}}}": "100x40",
        f"node_filesystem_readonly{{{of_disk}}}": "0x40",
        'up{product="tumulte", environment="production", job="backend", tier="app"}': "1 0x40",
    }
    cases = [
        fired(
            "DiskSpaceLow",
            {**disk, "severity": "warning", "scope": "host", "notify_sms": "true"},
            "tumulte (production)\u00a0: / se remplit sur l'hôte",
            "/dev/sda1 (/)\u00a0: il reste 20% d'espace libre (seuil\u00a0: 25%).",
        ),
        fired(
            "TumulteBackendDown",
            {"job": "backend", "service": "backend", "severity": "critical", "scope": "service"},
            "tumulte (production)\u00a0: le backend est hors service",
            "0 instance du backend répond à Prometheus\u00a0: les sondages et les votes ne marchent pas.",
        ),
    ]
    given = [{"series": name, "values": values} for name, values in series.items()]
    group = {"interval": "30s", "input_series": given, "alert_rule_test": cases}
    tests = {"rule_files": list(files), "evaluation_interval": "30s", "tests": [group]}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(tests, allow_unicode=True))
    result = promtool(["test", "rules", "test.yml"], cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
