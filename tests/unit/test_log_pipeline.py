"""The log pipeline where its settings are no shipped stack's; what those stacks run stands in their snapshots."""

import pytest
import yaml
from pydantic import ValidationError

from components.logs.loki import loki_config
from components.logs.stack import LogPipeline
from settings.logs import Logs
from tests.support.recording import record


@pytest.fixture
def pipeline(make_context):
    def build_pipeline(said=None, docker_root="/var/lib/docker", store="loki", **context):
        def program():
            LogPipeline(
                "l",
                make_context(image=lambda name: f"image-of-{name}", **context),
                logs=Logs.model_validate({"store": store, **(said or {})}),
                docker_root=docker_root,
                alertmanagers=["alertmanager:9093"],
                rules={"services.yml": "groups: []\n"},
            )

        return record(program, stack="shop-dev")

    return build_pipeline


def written(world, part: str) -> dict:
    files = world[f"l-{part}-config-writer"].files
    name = {"loki": "loki.yaml", "collector": "config.yaml"}[part]
    return yaml.safe_load(files[f"/dockyard/files/{name}"])


def test_go_collects_its_garbage_before_another_limit_is_reached(pipeline):
    assert pipeline({"loki": {"limits": {"memory": "1GB"}}})["l-loki"].env == {"GOMEMLIMIT": "819MiB"}


def test_loki_deletes_logs_after_the_retention_of_the_settings(pipeline):
    config = written(pipeline({"loki": {"retention": "12h"}}), "loki")
    assert config["limits_config"]["retention_period"] == "12h"


@pytest.mark.parametrize("store", ["loki", "victorialogs"])
def test_logs_survive_their_stack_outside_of_development(pipeline, store):
    volume = pipeline(store=store, protects_data=True)[f"l-{store}-data"]
    assert volume.protect
    assert volume.retain_on_delete


def test_of_a_host_that_keeps_its_containers_elsewhere_the_collector_sees_that_folder_alone(pipeline):
    world = pipeline(docker_root="/srv/engine/data")
    host = [mount for mount in world["l-collector"].inputs["mounts"] if mount["type"] == "bind"]
    assert [(mount["source"], mount["target"], mount["readOnly"]) for mount in host] == [
        ("/srv/engine/data/containers", "/var/lib/docker/containers", True)
    ]
    included = written(world, "collector")["receivers"]["file_log"]["include"]
    assert included == ["/var/lib/docker/containers/*/*-json.log*"]


def test_another_configuration_is_another_container(pipeline):
    before, after = pipeline(), pipeline({"loki": {"retention": "7d"}})
    assert before["l-loki"].label("dockyard.content") != after["l-loki"].label("dockyard.content")
    collector = "l-collector"
    assert before[collector].label("dockyard.content") == after[collector].label("dockyard.content")


def test_the_ruler_tells_every_alertmanager():
    said = loki_config(3600, 512, ["alertmanager:9093", "alertmanager-2:9093"])["ruler"]["alertmanager_url"]
    assert said == "http://alertmanager:9093,http://alertmanager-2:9093"


def test_victorialogs_deletes_by_age_and_by_size(pipeline):
    world = pipeline({"victorialogs": {"retention": "36h", "retention_size": "512MB"}}, store="victorialogs")
    arguments = {"-retentionPeriod=36h", "-retention.maxDiskSpaceUsageBytes=512MiB"}
    assert arguments <= {*world["l-victorialogs"].inputs["command"]}


@pytest.mark.parametrize(
    ("said", "words"), [({"victorialogs": {"retention": "12h"}}, "1d or more"), ({"store": "elastic"}, "loki")]
)
def test_settings_refuse_what_the_store_cannot_do(said, words):
    with pytest.raises(ValidationError, match=words):
        Logs.model_validate(said)


def test_a_stack_on_another_store_keeps_its_retention_and_limits():
    asked = Logs.model_validate({"store": "loki", "loki": {"retention": "12h", "limits": {"memory": "1GB"}}})
    made = asked.on("victorialogs")
    assert made.store == "victorialogs"
    assert made.victorialogs.retention == 86400, "VictoriaLogs keeps whole days"
    assert made.victorialogs.limits.memory == 1024
    assert made.on("victorialogs") is made
