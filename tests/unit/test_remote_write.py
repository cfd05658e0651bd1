"""Samples sent on for the long term: what the settings take, and what Prometheus gets of it."""

import pytest
import yaml
from pydantic import ValidationError

from components.monitoring.remote_write import remote_write_config
from settings.monitoring import Monitoring
from settings.problems import SettingsError
from settings.remote_write import RemoteWrite

MIMIR = {
    "name": "mimir",
    "url": "https://mimir.example/api/v1/push",
    "basic_auth": {"username": "12345", "password": "mimir-password"},
}
CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def section(**said) -> dict:
    return remote_write_config(RemoteWrite.model_validate({**MIMIR, **said}))


def config_of(world) -> dict:
    return yaml.safe_load(world["m-prometheus-config-writer"].files["/dockyard/files/prometheus.yml"])


def test_a_password_is_a_file_that_prometheus_alone_reads_and_stands_nowhere_else(monitoring):
    world = monitoring({"mimir-password": "open-sesame"}, remote_write=[MIMIR])
    writer = world["m-prometheus-config-writer"]
    assert writer.files["/dockyard/files/secrets/mimir-password"] == "open-sesame"
    (place,) = [n for n, upload in enumerate(writer.inputs["uploads"]) if upload["content"] == "open-sesame"]
    assert writer.secrets == {f"uploads[{place}].content"}
    (script,) = writer.inputs["command"]
    assert "chmod 0400 /dockyard/volume/secrets/mimir-password.new" in script
    assert "open-sesame" not in writer.files["/dockyard/files/prometheus.yml"]
    assert "open-sesame" not in str(world["m-prometheus"].inputs)
    (receiver,) = config_of(world)["remote_write"]
    assert receiver["basic_auth"] == {"username": "12345", "password_file": "secrets/mimir-password"}


def test_a_token_is_a_file_too(monitoring):
    cloud = {"name": "cloud", "url": "https://cloud.example/push", "bearer_token": "cloud-token"}
    world = monitoring({"cloud-token": "glc_abc"}, remote_write=[cloud])
    (receiver,) = config_of(world)["remote_write"]
    assert receiver["authorization"] == {"type": "Bearer", "credentials_file": "secrets/cloud-token"}
    assert "basic_auth" not in receiver
    assert world["m-prometheus-config-writer"].files["/dockyard/files/secrets/cloud-token"] == "glc_abc"


def test_two_receivers_may_share_a_secret(monitoring):
    world = monitoring({"mimir-password": "x"}, remote_write=[MIMIR, {**MIMIR, "name": "second"}])
    assert [one["name"] for one in config_of(world)["remote_write"]] == ["mimir", "second"]


DEFAULTS = {
    # Prometheus' own but for four that spare memory, receiver and samples.
    **{"capacity": 10000, "max_samples_per_send": 2000, "batch_send_deadline": "5s", "max_shards": 10},
    **{"min_backoff": "1s", "max_backoff": "30s", "retry_on_http_429": True},
}
OWN = {
    **{"capacity": 500, "max_samples_per_send": 100, "batch_send_deadline": "1s", "max_shards": 2},
    **{"min_backoff": "2s", "max_backoff": "1m", "retry_on_http_429": False},
}


@pytest.mark.parametrize(("said", "rendered"), [({}, DEFAULTS), (OWN, OWN)], ids=["defaults", "own"])
def test_every_figure_of_the_queue_is_a_setting(said, rendered):
    assert section(queue=said)["queue_config"] == rendered


def test_metrics_are_kept_and_dropped_by_their_whole_names():
    found = section(keep=["job:.+", "up"], drop=["go_.+|process_.+"])["write_relabel_configs"]
    assert found == [
        {"source_labels": ["__name__"], "regex": "(?:job:.+)|(?:up)", "action": "keep"},
        {"source_labels": ["__name__"], "regex": "(?:go_.+|process_.+)", "action": "drop"},
    ]
    assert [rule["action"] for rule in section(drop=["go_.+"])["write_relabel_configs"]] == ["drop"]


def test_headers_and_trust_are_settings():
    found = section(headers={"X-Scope-OrgID": "shop"}, tls={"ca": CA, "server_name": "mimir"}, timeout="10s")
    assert found["headers"] == {"X-Scope-OrgID": "shop"}
    assert found["tls_config"] == {"ca": CA, "server_name": "mimir"}
    assert found["remote_timeout"] == "10s"
    assert section(tls={"insecure_skip_verify": True})["tls_config"] == {"insecure_skip_verify": True}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"url": "mimir.example/push"}, "should match pattern"),
        ({"url": "https://me:secret@mimir.example/push"}, "should match pattern"),
        ({"bearer_token": "token"}, "either basic_auth or bearer_token, not both"),
        ({"headers": {"Authorization": "Bearer x"}}, "a header that Prometheus does not set itself"),
        ({"keep": ["("]}, "a regular expression"),
        ({"tls": {"ca": "/etc/ca.pem"}}, "should match pattern"),
        ({"queue": {"capacity": 100}}, "a capacity of at least max_samples_per_send"),
        ({"queue": {"min_backoff": "1m"}}, "a max_backoff of at least min_backoff"),
        ({"queue": {"shards": 3}}, "Extra inputs"),
    ],
)
def test_what_prometheus_would_refuse_or_misunderstand_is_refused(said, told):
    with pytest.raises(ValidationError, match=told):
        RemoteWrite.model_validate({**MIMIR, **said})


def test_two_receivers_need_two_names():
    with pytest.raises(ValidationError, match="mimir is used twice"):
        Monitoring.model_validate({"remote_write": [MIMIR, MIMIR]})


@pytest.mark.parametrize("where", ["stack", "product"])
def test_a_secret_that_is_not_given_is_told_with_the_command_that_sets_it(shop_settings, tmp_path, where):
    said = {"monitoring": {"remote_write": [MIMIR]}}
    with pytest.raises(SettingsError) as caught:
        shop_settings(**{where: said})
    (problem,) = caught.value.problems
    assert "the secret that dockyard:monitoring.remote_write.0.basic_auth.password names" in str(problem)
    assert "pulumi config set --secret dockyard:mimir-password -s dev" in str(problem)
    if where == "stack":
        lines = (tmp_path / "Pulumi.dev.yaml").read_text().splitlines()
        assert "password: mimir-password" in lines[problem.line - 1]
    given = shop_settings(said, stack={"mimir-password": {"secure": "v1:x"}})
    assert given.product.monitoring.remote_write[0].name == "mimir"
