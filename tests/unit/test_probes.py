"""What is asked from outside whether it answers: health addresses, routes, public names."""

import pulumi
import pytest
import yaml

from components.edge.proxy import EdgeProxy
from components.edge.traefik import Upstream
from components.monitoring.blackbox import probe_targets
from components.monitoring.exporters import ExporterSet
from components.monitoring.prometheus import prometheus_config
from runtime.spec import Mount
from settings.edge import Edge, Route
from settings.monitoring import Exporters, Monitoring, Probes
from settings.workload import Service
from tests.support.recording import record

WEB = {
    "image": "demo",
    "port": 3000,
    "health": {"http": "/health/ready"},
    "routes": [{"host": "shop.example"}, {"host": "shop.example", "path": "/api"}],
}
NO_PROBES = {"self_signed": False, "grafana": None}
GAME = {"image": "demo", "port": 7000, "protocol": "tcp", "replicas": 2, "health": {"tcp": True}}


@pytest.fixture
def config_of(make_context):
    """Return a function that renders the job `probe` of a stack, as prometheus.yml has it."""

    def render(services=None, probes=None, https=443, tools=(), **said):
        found = {}

        def program():
            services_ = {name: Service.model_validate(one) for name, one in (services or {}).items()}
            fronts = [
                Upstream(name, one.port, one.protocol, routes=tuple(one.routes))
                for name, one in services_.items()
                if one.port
            ]
            fronts += tools
            ports = {"web": 80 if https == 443 else 8080, "websecure": https}
            edge = EdgeProxy("e", make_context(), edge=Edge(), upstreams=fronts, ports=ports) if fronts else None
            addresses = {role: pulumi.Output.from_input(f"shop-{role}-1a2b") for role in ("game", "game-2")}
            inputs = {"services": services_, "addresses": addresses, "edge": edge, **NO_PROBES, **said}
            targets = probe_targets(Probes.model_validate(probes or {}), **inputs)
            labels = {"product": "shop", "environment": "staging"}
            rendered = prometheus_config(targets, monitoring=Monitoring(), alertmanagers=["a:9093"], labels=labels)
            rendered.apply(lambda text: found.update(yaml.safe_load(text)))

        record(program)
        return next((job for job in found["scrape_configs"] if job["job_name"] == "probe"), None)

    return render


def asked(job) -> dict[tuple[str, str], dict[str, str]]:
    """Return what is asked: kind and instance → parameters."""
    return {
        (labels["probe"], labels["instance"]): {
            name.removeprefix("__param_"): value for name, value in labels.items() if name.startswith("__param_")
        }
        for labels in (one["labels"] for one in job["static_configs"])
    }


def test_a_tcp_port_is_tried_at_each_instance_since_the_edge_takes_every_connection(config_of):
    assert asked(config_of({"game": GAME})) == {
        ("health", "tcp://game:7000"): {"target": "shop-game-1a2b:7000", "module": "tcp_connect"},
        ("health", "tcp://game-2:7000"): {"target": "shop-game-2-1a2b:7000", "module": "tcp_connect"},
    }


def test_a_tools_host_name_is_asked_as_a_services(config_of):
    routes = (Route(host="grafana.shop.example"),)
    grafana = Upstream("grafana", 3000, served_by_name=False, servers=("grafana",), routes=routes)
    found = asked(config_of(tools=[grafana]))
    assert set(found) == {("route", "https://grafana.shop.example/"), ("redirect", "http://grafana.shop.example/")}
    assert found["route", "https://grafana.shop.example/"]["hostname"] == "grafana.shop.example"


def test_another_port_than_the_usual_one_stands_in_the_instance(config_of):
    found = asked(config_of({"web": WEB}, https=8443))
    assert ("route", "https://shop.example:8443/") in found
    assert ("redirect", "http://shop.example:8080/") in found


def test_grafanas_public_name_and_further_addresses_are_asked_as_they_are(config_of):
    found = asked(config_of({}, {"urls": ["https://api.twitch.tv:443/x"]}, grafana="monitoring.shop.example"))
    assert found == {
        ("public", "https://monitoring.shop.example/api/health"): {
            "target": "https://monitoring.shop.example/api/health",
            "module": "public",
        },
        ("url", "https://api.twitch.tv:443/x"): {"target": "https://api.twitch.tv:443/x", "module": "url"},
    }


def test_how_often_and_how_long_it_asks_are_settings(config_of):
    job = config_of({"web": WEB}, {"interval": "1m", "timeout": "5s"})
    assert (job["scrape_interval"], job["scrape_timeout"]) == ("1m", "5s")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"interval": "10s", "timeout": "15s"}, "a timeout within the interval"),
        ({"urls": ["ftp://x"]}, "urls"),
        ({"urls": ["https://user:word@shop.example/"]}, "urls"),
        ({"urls": ["shop.example"]}, "urls"),
    ],
)
def test_a_timeout_beyond_the_interval_and_an_address_with_a_password_or_no_scheme_are_refused(said, told):
    with pytest.raises(ValueError, match=told):
        Probes.model_validate(said)


def test_nothing_is_asked_where_probes_are_off(config_of):
    assert config_of({"web": WEB}, {"enabled": False, "urls": ["https://x.example"]}, grafana="g.example") is None


@pytest.fixture
def exporters(make_context, config_of):
    def run(*urls: str):
        def program():
            probes = Probes.model_validate({"urls": list(urls)})
            targets = probe_targets(probes, services={}, addresses={}, edge=None, **NO_PROBES)
            inputs = {"exporters": Exporters(), "connections": {}, "inventory": Mount("inventory", "/inventory")}
            ExporterSet("x", make_context(), probes=targets, **inputs)

        return record(program)

    return run


def test_the_exporter_runs_only_where_there_is_something_to_ask(exporters):
    assert "x-blackbox-exporter" not in exporters()
    assert "x-blackbox-exporter" in exporters("https://x.example")
