"""The log pipeline: a log store, and the collector that reads what the stack's containers write."""

import pytest
import yaml
from pydantic import ValidationError

from components.log_config import loki_config
from components.log_pipeline import LogPipeline, LogPipelineConfig, logs_datasource
from settings.logs import Logs
from tests.support.recording import record

RULES = {"services.yml": "groups: []\n"}
SERVICES = {"loki": ("l-loki", "l-collector"), "victorialogs": ("l-victorialogs", "l-vmalert", "l-collector")}
STORES = pytest.mark.parametrize("store", SERVICES)


@pytest.fixture
def pipeline(make_context):
    def build_pipeline(said=None, docker_root="/var/lib/docker", store="loki", **context):
        found = {}

        def program():
            config = LogPipelineConfig(
                Logs.model_validate({"store": store, **(said or {})}),
                make_context(**context),
                lambda name: f"image-of-{name}",
                docker_root,
                alertmanagers=["alertmanager:9093"],
                rules=RULES,
            )
            made = LogPipeline("l", config)
            found["targets"] = [(target.job, target.address) for target in made.targets]
            found["address"], found["containers"] = made.address, sorted(made.containers)

        world = record(program, stack="shop-dev")
        return world, found

    return build_pipeline


def written(world, part: str) -> dict:
    files = world[f"l-{part}-config-writer"].files
    name = {"loki": "loki.yaml", "collector": "config.yaml"}[part]
    return yaml.safe_load(files[f"/dockyard/files/{name}"])


def operators(world) -> list[dict]:
    return written(world, "collector")["receivers"]["file_log"]["operators"]


def mounts(made) -> dict[str, tuple[str, bool]]:
    return {mount["target"]: (mount["source"], mount["readOnly"]) for mount in made.inputs["mounts"]}


@STORES
def test_limits_are_those_of_the_dating_apps_table(pipeline, store):
    world, _ = pipeline(store=store)
    limits = {name: (world[name].inputs["memory"], world[name].inputs["memoryReservation"]) for name in SERVICES[store]}
    expected = {
        "l-loki": (512, 256),
        "l-victorialogs": (512, 256),
        "l-vmalert": (128, 64),
        "l-collector": (256, 128),
    }
    assert limits == {name: expected[name] for name in SERVICES[store]}


def test_go_collects_its_garbage_before_the_limit_is_reached(pipeline):
    world, _ = pipeline({"loki": {"limits": {"memory": "1GB"}}})
    assert world["l-loki"].env == {"GOMEMLIMIT": "819MiB"}
    assert world["l-collector"].env == {"GOMEMLIMIT": "204MiB"}


def test_logs_are_kept_for_thirty_days_or_as_long_as_the_settings_say(pipeline):
    for said, kept in ((None, "30d"), ({"loki": {"retention": "12h"}}, "12h")):
        config = written(pipeline(said)[0], "loki")
        assert config["limits_config"]["retention_period"] == kept
        # Without these two the period is only written down.
        assert config["compactor"] == {"retention_enabled": True, "delete_request_store": "filesystem"}


def test_loki_keeps_its_files_on_a_data_volume_and_is_alone_with_them(pipeline):
    world, _ = pipeline()
    assert world["l-loki-data"].label("dockyard.volume") == "data"
    assert mounts(world["l-loki"])["/loki"] == ("l-loki-data-0a1b2c3", False)
    assert world["l-loki"].delete_before_replace
    assert world["l-loki"].inputs["user"] == "10001:10001"


@STORES
def test_logs_survive_their_stack_outside_of_development(pipeline, store):
    world, _ = pipeline(store=store, protects_data=True)
    assert world[f"l-{store}-data"].protect
    assert world[f"l-{store}-data"].retain_on_delete


def test_loki_reports_nothing_to_its_makers(pipeline):
    assert written(pipeline()[0], "loki")["analytics"] == {"reporting_enabled": False}


def test_what_loki_keeps_in_memory_is_a_share_of_its_limit(pipeline):
    config = written(pipeline()[0], "loki")
    assert config["ingester"]["wal"]["replay_memory_ceiling"] == "128MB"
    assert config["chunk_store_config"]["chunk_cache_config"]["embedded_cache"]["max_size_mb"] == 32
    assert config["query_range"]["results_cache"]["cache"]["embedded_cache"]["max_size_mb"] == 32


def test_loki_asks_itself_and_looks_for_no_scheduler(pipeline):
    config = written(pipeline()[0], "loki")
    assert config["frontend_worker"]["frontend_address"] == f"127.0.0.1:{config['server']['grpc_listen_port']}"


def test_lines_are_found_by_four_labels_alone(pipeline):
    world, _ = pipeline()
    limits = written(world, "loki")["limits_config"]
    assert limits["otlp_config"]["resource_attributes"] == {
        "ignore_defaults": True,
        "attributes_config": [
            {"action": "index_label", "attributes": ["product", "environment", "service", "container"]}
        ],
    }
    assert limits["discover_service_name"] == []
    moved = {one["to"]: one["from"] for one in operators(world) if one["type"] == "move"}
    assert {field: moved[f"resource.{field}"] for field in ("product", "environment", "service")} == {
        "product": 'attributes.attrs["dockyard.product"]',
        "environment": 'attributes.attrs["dockyard.environment"]',
        "service": 'attributes.attrs["dockyard.service"]',
    }


@STORES
def test_every_container_writes_the_labels_that_the_collector_reads(pipeline, store):
    world, _ = pipeline(store=store)
    told = world[f"l-{store}"].inputs["logOpts"]["labels"].split(",")
    assert set(told) == {f"dockyard.{name}" for name in ("product", "environment", "service", "stack")}


def test_lines_of_other_stacks_are_dropped_before_anything_else_is_done_with_them(pipeline):
    joined, parsed, dropped = operators(pipeline()[0])[:3]
    assert (joined["type"], parsed["type"]) == ("regex_replace", "json_parser")
    assert dropped == {
        "type": "filter",
        "expr": 'attributes.attrs == nil or attributes.attrs["dockyard.stack"] != "shop-dev"',
    }


@STORES
def test_a_line_counts_as_read_when_the_store_has_it(pipeline, store):
    world, _ = pipeline(store=store)
    config = written(world, "collector")
    queue = config["exporters"]["otlp_http"]["sending_queue"]
    assert config["receivers"]["file_log"]["storage"] == "file_storage"
    # No queue on the volume: the collector's own loses what it holds in hand when it is killed while it starts.
    assert "storage" not in queue
    assert queue["wait_for_result"]
    assert queue["block_on_overflow"]
    # Asked to stop it would pass over what it is sending.
    assert world["l-collector"].inputs["stopSignal"] == "SIGKILL"
    # A batch processor would hold lines in memory that count as read.
    assert config["service"]["pipelines"]["logs"]["processors"] == ["transform"]
    assert "--feature-gates=stanza.synchronousLogEmitter" in world["l-collector"].inputs["command"]
    folder = config["extensions"]["file_storage"]["directory"]
    assert mounts(world["l-collector"])[folder] == ("l-collector-data-0a1b2c3", False)
    assert world["l-collector-data"].label("dockyard.volume") == "data"
    assert world["l-collector"].delete_before_replace


ENDPOINTS = {"loki": "http://loki:3100/otlp", "victorialogs": "http://victorialogs:9428/insert/opentelemetry"}


@STORES
def test_a_line_that_the_store_does_not_take_is_sent_again(pipeline, store):
    sent = written(pipeline(store=store)[0], "collector")["exporters"]["otlp_http"]
    assert sent["endpoint"] == ENDPOINTS[store]
    assert sent["retry_on_failure"]["max_elapsed_time"] == "0s"


@pytest.mark.parametrize("root", ["/var/lib/docker", "/srv/engine/data"])
def test_of_the_host_the_collector_sees_the_containers_folder_alone_and_cannot_write_there(pipeline, root):
    world, _ = pipeline(docker_root=root)
    collector = world["l-collector"]
    host = [mount for mount in collector.inputs["mounts"] if mount["type"] == "bind"]
    assert [(one["source"], one["target"], one["readOnly"]) for one in host] == [
        (f"{root}/containers", "/var/lib/docker/containers", True)
    ]
    included = written(world, "collector")["receivers"]["file_log"]["include"]
    assert included == ["/var/lib/docker/containers/*/*-json.log*"]


def test_the_collector_is_root_without_any_capability(pipeline):
    collector = pipeline()[0]["l-collector"]
    assert collector.inputs["user"] == "0:0"
    assert collector.inputs["capabilities"] == {"drops": ["ALL"]}
    assert collector.inputs["securityOpts"] == ["no-new-privileges:true"]
    assert collector.inputs["readOnly"]


@STORES
def test_nothing_is_published_and_nothing_is_on_the_applications_network(pipeline, store):
    world, _ = pipeline(store=store)
    for name in SERVICES[store]:
        assert "ports" not in world[name].inputs
        assert [one["name"] for one in world[name].inputs["networksAdvanced"]] == ["monitoring-net"]


def test_what_the_official_images_lack_is_not_asked_of_them(pipeline):
    world, _ = pipeline()
    # The collector's image holds one program and no shell.
    assert world["l-collector-config-writer"].inputs["image"] == "image-of-busybox"
    assert world["l-collector"].inputs["healthcheck"]["tests"] == [
        "CMD",
        "/otelcol-contrib",
        "validate",
        "--config=/etc/otelcol-contrib/config.yaml",
        "--config=http://127.0.0.1:13133/",
    ]
    assert "entrypoints" not in world["l-collector"].inputs


def test_another_configuration_is_another_container(pipeline):
    before, after = pipeline()[0], pipeline({"loki": {"retention": "7d"}})[0]
    assert before["l-loki"].label("dockyard.content") != after["l-loki"].label("dockyard.content")
    collector = "l-collector"
    assert before[collector].label("dockyard.content") == after[collector].label("dockyard.content")
    assert before[collector].label("dockyard.content")


def test_both_are_scraped_and_grafana_is_told_where_loki_is(pipeline):
    _, found = pipeline()
    assert found["targets"] == [("loki", "loki:3100"), ("collector", "collector:8888")]
    assert found["containers"] == ["collector", "loki"]
    source = logs_datasource("loki", "love-loki")
    assert (source["uid"], source["type"], source["url"]) == ("love-loki", "loki", f"http://{found['address']}")


def test_the_ruler_finds_its_rules_and_alertmanager(pipeline):
    world, _ = pipeline()
    config = written(world, "loki")
    folder = config["common"]["storage"]["filesystem"]["rules_directory"]
    assert folder == "/etc/loki"
    # A folder for each tenant, and without accounts there is one.
    assert world["l-loki-config-writer"].files["/dockyard/files/fake/services.yml"] == RULES["services.yml"]
    assert mounts(world["l-loki"])[folder][1]
    assert config["ruler"] == {"alertmanager_url": "http://alertmanager:9093", "evaluation_interval": "1m"}


def test_the_ruler_tells_every_alertmanager():
    said = loki_config(3600, 512, ["alertmanager:9093", "alertmanager-2:9093"])["ruler"]["alertmanager_url"]
    assert said == "http://alertmanager:9093,http://alertmanager-2:9093"


def test_a_products_own_secrets_are_looked_for_too(pipeline):
    config = written(pipeline({"redact": ["customer-[0-9]+"]})[0], "collector")
    assert 'replace_pattern(log.body, "customer-[0-9]+", "[redacted]")' in str(config["processors"])


def test_the_name_of_a_container_is_the_same_through_all_releases(pipeline):
    world, _ = pipeline()
    assert world["l-loki"].inputs["logOpts"]["tag"] == "{{.Name}}"
    (cut,) = [one for one in operators(world) if one.get("field") == "resource.container" and "regex" in one]
    assert cut["regex"] == "-[0-9a-f]{7}$$"


def test_victorialogs_keeps_its_files_on_a_data_volume_of_its_own(pipeline):
    world, _ = pipeline(store="victorialogs")
    store = world["l-victorialogs"]
    assert world["l-victorialogs-data"].label("dockyard.volume") == "data"
    assert mounts(store)["/victoria-logs-data"] == ("l-victorialogs-data-0a1b2c3", False)
    assert store.delete_before_replace
    assert store.inputs["user"] == "65532:65532"
    assert store.inputs["readOnly"]
    assert store.inputs["capabilities"] == {"drops": ["ALL"]}


@pytest.mark.parametrize(
    ("said", "arguments"),
    [
        ({}, {"-retentionPeriod=30d", "-retention.maxDiskSpaceUsageBytes=10240MiB"}),
        (
            {"victorialogs": {"retention": "36h", "retention_size": "512MB"}},
            {"-retentionPeriod=36h", "-retention.maxDiskSpaceUsageBytes=512MiB"},
        ),
    ],
)
def test_victorialogs_deletes_by_age_and_by_size(pipeline, said, arguments):
    world, _ = pipeline(said, store="victorialogs")
    assert arguments <= {*world["l-victorialogs"].inputs["command"]}


def test_a_writer_prepares_the_data_folder_and_the_health_checks(pipeline):
    world, _ = pipeline(store="victorialogs")
    writer = world["l-victorialogs-writer"]
    assert writer.inputs["image"] == "image-of-busybox"
    assert "chown 65532:65532 /victoria-logs-data" in writer.inputs["command"][0]
    assert mounts(writer)["/victoria-logs-data"] == ("l-victorialogs-data-0a1b2c3", False)
    for name, port in (("l-victorialogs", 9428), ("l-vmalert", 8880)):
        assert mounts(world[name])["/dockyard/probe"] == ("l-victorialogs-probe-0a1b2c3", True)
        program, *_, address = world[name].inputs["healthcheck"]["tests"][1:]
        assert program == "/dockyard/probe/busybox"
        assert address == f"http://127.0.0.1:{port}/health"


def test_victorialogs_gets_the_same_labels_and_a_level(pipeline):
    config = written(pipeline(store="victorialogs")[0], "collector")
    assert config["exporters"]["otlp_http"]["headers"] == {
        "VL-Stream-Fields": "product,environment,service,container",
        "VL-Ignore-Fields": "severity_number,severity_text,scope.name,scope.version",
    }
    assert 'set(log.attributes["level"], log.severity_text)' in str(config["processors"])
    assert 'log.attributes["level"]' not in str(written(pipeline()[0], "collector")["processors"])


def test_vmalert_asks_victorialogs_and_notifies_every_alertmanager(pipeline):
    world, found = pipeline(store="victorialogs")
    arguments = {*world["l-vmalert"].inputs["command"]}
    assert {
        "-datasource.url=http://victorialogs:9428",
        "-notifier.config=/etc/vmalert/notifiers.yaml",
    } <= arguments
    assert "-rule=/etc/vmalert/*.yml" in arguments
    assert "-disableAlertgroupLabel" in arguments
    files = world["l-vmalert-config-writer"].files
    notifiers = yaml.safe_load(files["/dockyard/files/notifiers.yaml"])
    assert notifiers["static_configs"] == [{"targets": ["alertmanager:9093"]}]
    assert notifiers["alert_relabel_configs"] == [{"action": "labeldrop", "regex": "stats_result"}]
    assert files["/dockyard/files/services.yml"] == RULES["services.yml"]
    assert mounts(world["l-vmalert"])["/etc/vmalert"][1]
    assert found["targets"] == [
        ("victorialogs", "victorialogs:9428"),
        ("vmalert", "vmalert:8880"),
        ("collector", "collector:8888"),
    ]
    assert found["containers"] == ["collector", "victorialogs", "vmalert"]


def test_another_rule_leaves_vmalert_and_the_store_as_they_are(pipeline):
    before, after = pipeline(store="victorialogs")[0], pipeline({"vmalert": {}}, store="victorialogs")[0]
    for name in ("l-victorialogs", "l-vmalert"):
        assert "dockyard.content" not in {one["label"] for one in before[name].inputs["labels"]}
        assert before[name].inputs["labels"] == after[name].inputs["labels"]


@pytest.mark.parametrize(
    ("said", "words"),
    [({"victorialogs": {"retention": "12h"}}, "1d or more"), ({"store": "elastic"}, "loki")],
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
