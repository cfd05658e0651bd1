"""What no resource may do: each rule fails on a resource that does it, and the shipped stacks do none of it."""

import copy
from typing import Any

import pytest

from policy.rules import RULES, TUNNEL
from runtime.guarantees import DOCKER, Guarantee
from runtime.pulumi_state import CONTAINER, VOLUME, Resource
from tests.support.shipped import STACKS, recorded_stack
from tests.unit.exposure import EVERYWHERE

DIGEST = "@sha256:" + "a" * 64
GOOD: dict[str, Any] = {
    "image": f"docker.io/prom/prometheus:v3.5.3{DIGEST}",
    "memory": 512,
    "memorySwap": 512,
    "memoryReservation": 256,
    "cpus": "1.0",
    "healthcheck": {"tests": ["CMD", "wget", "http://127.0.0.1:9090/-/ready"]},
    "capabilities": {"drops": ["ALL"]},
    "securityOpts": ["no-new-privileges:true"],
    "logDriver": "json-file",
    "logOpts": {"max-size": "10m", "max-file": "14"},
    "envs": ["PORT=8000", "DATABASE_PASSWORD_FILE=/run/secrets/pg", "TOKEN_TTL=3600", "SESSION_TOKEN=true"],
    "labels": [{"label": "dockyard.service", "value": "prometheus"}],
    "mounts": [{"type": "volume", "source": "data", "target": "/data", "readOnly": False}],
    "ports": [{"ip": "127.0.0.1", "internal": 9090, "external": 9090}],
    "networkMode": "bridge",
}
SHORT = {"mustRun": False, "healthcheck": None}
DATA = [{"label": "dockyard.volume", "value": "data"}, {"label": "dockyard.environment", "value": "production"}]
LAST = {"service": "http_status:404"}


def violations(resource: Resource) -> list[tuple[str, str]]:
    return [(rule.name, text) for rule in RULES if rule.type == resource.type for text in rule.violations(resource)]


def broken(inputs: dict[str, Any], kind: str = CONTAINER, **options: Any) -> set[str]:
    return {name for name, _ in violations(Resource(kind, "thing", inputs, **options))}


def changed(**changes: Any) -> dict[str, Any]:
    """Return the good container with inputs changed; None takes one away."""
    return {key: value for key, value in {**copy.deepcopy(GOOD), **changes}.items() if value is not None}


def role(name: str) -> list[dict[str, str]]:
    return [{"label": "dockyard.service", "value": name}]


def mounted(source: str, *, read_only: bool = True) -> list[dict[str, Any]]:
    return [{"type": "bind", "source": source, "target": "/x", "readOnly": read_only}]


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("pinned-image", {"image": "docker.io/prom/prometheus:latest"}),
        ("pinned-image", {"image": "docker.io/prom/prometheus"}),
        ("pinned-image", {"image": "mirror.example.com:5000/prom/prometheus:v3.5.3"}),
        ("pinned-image", {"image": "ghcr.io/shop/api:main"}),
        ("pinned-image", {"image": "mirror.example.com:5000/shop/api"}),
        ("limits", {"memory": None}),
        ("no-swap", {"memorySwap": 1024}),
        ("no-swap", {"memorySwap": -1}),
        ("limits", {"memoryReservation": None}),
        ("limits", {"memoryReservation": 1024}),
        ("limits", {"cpus": None}),
        ("health-check", {"healthcheck": None}),
        ("health-check", {"healthcheck": {"tests": ["NONE"]}}),
        ("health-check", {"healthcheck": {"tests": ["CMD"]}}),
        ("not-privileged", {"privileged": True}),
        ("not-privileged", {"networkMode": "host"}),
        ("not-privileged", {"pidMode": "host"}),
        ("not-privileged", {"ipcMode": "host"}),
        ("not-privileged", {"usernsMode": "host"}),
        ("not-privileged", {"devices": [{"hostPath": "/dev/sda"}]}),
        ("no-docker-socket", {"mounts": mounted("/var/run/docker.sock")}),
        ("no-docker-socket", {"mounts": mounted("/run/user/1000/docker.sock")}),
        ("no-docker-socket", {"mounts": mounted("/var/run")}),
        ("no-docker-socket", {"volumes": [{"hostPath": "/run/containerd/containerd.sock", "readOnly": True}]}),
        (
            "no-docker-socket",
            {"mounts": mounted("/var/run/docker.sock", read_only=False), "labels": role("docker-socket-proxy")},
        ),
        ("no-open-port", {"ports": [{"ip": EVERYWHERE, "internal": 9090, "external": 9090}]}),
        ("no-open-port", {"ports": [{"ip": "192.0.2.1", "internal": 9090, "external": 9090}]}),
        ("no-open-port", {"ports": [{"internal": 9090, "external": 9090}]}),
        ("no-open-port", {"ports": [{"internal": 443, "external": 443}], "labels": role("traefik")}),
        ("no-open-port", {"publishAllPorts": True}),
        ("no-secret-in-the-open", {"envs": ["POSTGRES_PASSWORD=hunter2"]}),
        ("no-secret-in-the-open", {"envs": ["APP_KEY=rp2ahpJiw7ud"]}),
        ("no-secret-in-the-open", {"envs": ["github_token=abcdef"]}),
        ("no-secret-in-the-open", {"envs": ["DATABASE_URL=postgresql://shop:hunter2@postgres:5432/shop"]}),
        ("no-secret-in-the-open", {"envs": ["REDIS=redis://:hunter2@redis:6379"]}),
        ("no-secret-in-the-open", {"envs": ["NOTE=ghp_" + "a1B2" * 9]}),
        ("no-secret-in-the-open", {"envs": ["AWS=AKIA" + "A1B2" * 4]}),
        ("no-secret-in-the-open", {"envs": ["BEARER=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"]}),
        ("no-secret-in-the-open", {"envs": ["HOOK=https://hooks.slack.com/services/T0/B0/abc"]}),
        ("no-secret-in-the-open", {"envs": ["HOOK=https://discord.com/api/webhooks/1/abc"]}),
        ("no-secret-in-the-open", {"envs": ["PEM=-----BEGIN RSA PRIVATE KEY-----"]}),
        ("no-secret-in-the-open", {"command": ["--dsn=postgresql://shop:hunter2@postgres/shop"]}),
        ("no-secret-in-the-open", {"labels": [{"label": "hook", "value": "https://discord.com/api/webhooks/1/a"}]}),
        ("no-capabilities", {"capabilities": None}),
        ("no-capabilities", {"capabilities": {"drops": ["NET_RAW"]}}),
        ("no-capabilities", {"capabilities": {"drops": ["ALL"], "adds": ["CAP_CHOWN"]}}),
        ("no-capabilities", {**SHORT, "capabilities": {"drops": ["ALL"], "adds": ["CAP_SYS_ADMIN"]}}),
        ("no-new-privileges", {"securityOpts": None}),
        ("no-new-privileges", {"securityOpts": ["no-new-privileges:false"]}),
        ("no-new-privileges", {"securityOpts": ["no-new-privileges:true", "seccomp=unconfined"]}),
        ("log-rotation", {"logDriver": None}),
        ("log-rotation", {"logOpts": {"max-size": "10m"}}),
        ("log-rotation", {"logOpts": {"max-file": "3"}}),
        ("log-rotation", {"logDriver": "local", "logOpts": None}),
    ],
)
def test_each_rule_on_containers_fails_alone(rule, changes):
    assert broken(changed(**changes)) == {rule}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        SHORT,
        {"image": "sha256:" + "a" * 64},
        {"image": "dockyard/demo:53d4b06df95a5654"},
        {"image": "ghcr.io/shop/api:1.4.0"},
        {"image": f"127.0.0.1:5000/prom/prometheus:v3.5.3{DIGEST}"},
        {"mounts": mounted("/var/run/docker.sock"), "labels": role("docker-socket-proxy")},
        {"mounts": mounted("/run/secrets-of-somebody")},
        {"ports": [{"ip": EVERYWHERE, "internal": 443, "external": 443}], "labels": role("traefik")},
        {"ports": [{"ip": "::1", "internal": 443, "external": 443}]},
        {"logDriver": "journald", "logOpts": None},
        {**SHORT, "capabilities": {"drops": ["ALL"], "adds": ["CAP_CHOWN", "CAP_FOWNER"]}},
        # No secrets, whatever they look like.
        {"envs": ["MAX_TOKENS=4096", "SECRET_NAME=app", "CSRF_TOKEN=off", "WEBHOOK_URL=", "API_KEY_HEADER=X-Key"]},
        {"envs": ["ACCESS_TOKEN=/run/secrets/token", "RESET_TOKEN=15m", "PUBLIC_KEY=MFkwEwYHKoZIzj0CAQ", "MONKEY=x"]},
        {"envs": ["URL=http://user@web:8000/a:b@c", "PROXY=http://web:8000/", "DATABASE_URL=postgresql://shop@db/x"]},
    ],
)
def test_a_container_that_keeps_every_rule_or_only_looks_otherwise_breaks_none(changes):
    assert broken(changed(**changes)) == set()


def test_the_value_of_a_secret_is_not_told():
    told = [text for _, text in violations(Resource(CONTAINER, "x", changed(envs=["A_TOKEN=hunter2"])))]
    assert told and "hunter2" not in " ".join(told)


def test_data_outside_of_development_is_protected_and_retained():
    assert broken({"labels": DATA}, VOLUME, protect=True, retained=True) == set()
    assert broken({"labels": DATA}, VOLUME, protect=False, retained=True) == {"protected-data"}
    assert broken({"labels": DATA}, VOLUME, protect=True, retained=False) == {"protected-data"}
    development = [DATA[0], {"label": "dockyard.environment", "value": "development"}]
    assert broken({"labels": development}, VOLUME) == set()
    assert broken({"labels": [DATA[1]]}, VOLUME) == set(), "what can be made again may go"
    assert broken({"labels": DATA}, VOLUME, protect=True, retained=None) == set(), "a policy pack is not told of it"


@pytest.mark.parametrize(
    "host",
    ["prometheus", "shop-prometheus", "alertmanager-2", "loki", "victorialogs", "vmalert", "cadvisor", "node-exporter"],
)
def test_a_tunnel_leads_to_no_tool_unless_access_stands_before_it(host):
    rule = {"hostname": "m.shop.example", "service": f"http://{host}:9090"}
    assert broken({"config": {"ingresses": [rule, LAST]}}, TUNNEL) == {"tunnel-ingress"}
    guarded = {**rule, "originRequest": {"access": {"required": True, "audTags": ["a"]}}}
    assert broken({"config": {"ingresses": [guarded, LAST]}}, TUNNEL) == set()
    asks_nobody = {**rule, "originRequest": {"access": {"required": True, "audTags": []}}}
    assert broken({"config": {"ingresses": [asks_nobody, LAST]}}, TUNNEL) == {"tunnel-ingress"}


def test_a_tunnel_ends_with_a_rule_for_everything_else():
    rule = {"hostname": "grafana.shop.example", "service": "http://grafana:3000"}
    assert broken({"config": {"ingresses": [rule, LAST]}}, TUNNEL) == set()
    assert broken({"config": {"ingresses": [rule]}}, TUNNEL) == {"tunnel-ingress"}


@pytest.mark.parametrize("guarantee", Guarantee)
def test_a_rule_that_the_runtime_does_not_guarantee_is_reported_as_not_checked(guarantee):
    (rule,) = [rule for rule in RULES if rule.guarantee is guarantee]
    good = Resource(CONTAINER, "thing", GOOD)
    assert (rule.is_checked(), [*rule.violations(good)]) == (True, [])
    message = f"not checked, because the runtime does not guarantee it: {guarantee.value}"
    assert (rule.is_checked(DOCKER - {guarantee}), [*rule.violations(good, DOCKER - {guarantee})]) == (False, [message])


@pytest.mark.parametrize("stack", STACKS)
def test_every_shipped_stack_keeps_every_rule(stack):
    resources = [
        Resource(made.type, made.name, made.inputs, protect=made.protect, retained=made.retain_on_delete)
        for made in recorded_stack(stack).resources
    ]
    found = [f"{resource.urn}: {rule}: {told}" for resource in resources for rule, told in violations(resource)]
    assert not found, "\n".join(found)
    kinds = {one.type for one in resources}
    assert {CONTAINER, VOLUME} <= kinds
    if stack == "production":
        assert TUNNEL in kinds
