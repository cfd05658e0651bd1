"""The kit's images behave as the official ones do, under the restrictions that the stacks put on every container."""

import pytest

from offline.kit.recipes import RECIPES
from tests.support.containers import once, succeeded

CONVENTIONS = {
    "alertmanager": ("nobody", ["/bin/alertmanager"], "/alertmanager", [9093]),
    "blackbox-exporter": ("", ["/bin/blackbox_exporter"], None, [9115]),
    "busybox": ("", None, None, []),
    "cadvisor": ("", ["/usr/bin/cadvisor", "-logtostderr"], None, [8080]),
    "cloudflared": ("65532:65532", ["cloudflared", "--no-autoupdate"], None, []),
    "grafana": ("472", ["python", "-m", "grafana_double"], None, [3000]),
    "nginx": ("", ["/docker-entrypoint.sh"], None, [80]),
    "node": ("", ["docker-entrypoint.sh"], None, []),
    "node-exporter": ("nobody", ["/bin/node_exporter"], None, [9100]),
    "otel-collector": ("10001:10001", ["/otelcol-contrib"], None, [4317, 4318, 55679]),
    "postgres": ("", ["docker-entrypoint.sh"], "/var/lib/postgresql/data", [5432]),
    "postgres-exporter": ("nobody", ["/bin/postgres_exporter"], None, [9187]),
    "prometheus": ("nobody", ["/bin/prometheus"], "/prometheus", [9090]),
    "python": ("", None, None, []),
    "redis": ("", ["docker-entrypoint.sh"], "/data", [6379]),
    "redis-exporter": ("59000:59000", ["/redis_exporter"], None, [9121]),
    "restic": ("", ["/usr/bin/restic"], None, []),
    "traefik": ("", ["/entrypoint.sh"], None, [80]),
    "victorialogs": ("", ["/victoria-logs-prod"], None, [9428]),
    "vmalert": ("", ["/vmalert-prod"], None, [8880]),
}
"""User, entry point, volume and ports, from the official Dockerfiles (the entry point of Grafana's double aside)."""

STOP_SIGNALS = {"postgres": "SIGINT", "nginx": "SIGQUIT"}
NO_SHELL = ("busybox", "cloudflared", "victorialogs", "vmalert")  # images that have no tools, or nothing else


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_an_image_says_of_itself_what_the_official_one_says(kit, engine, name: str):
    user, entrypoint, volume, ports = CONVENTIONS[name]
    image = engine.images.get(kit[name])
    config = image.attrs["Config"]
    assert config["User"] == user
    assert config["Entrypoint"] == entrypoint
    assert (config.get("StopSignal") or None) == STOP_SIGNALS.get(name)
    assert set(config.get("Volumes") or {}) == ({volume} if volume else set())
    assert set(config.get("ExposedPorts") or {}) == {f"{port}/tcp" for port in ports}
    assert "not the official image" in image.labels["dockyard.kit"]
    assert image.labels["dockyard.kit.stands-for"].startswith("127.0.0.1:9/")
    assert image.labels["dockyard.kit.carries"].strip()
    if name not in NO_SHELL:
        tools = "sh cp chown chmod mkdir rm find wget cat id"
        output = succeeded(once(engine, kit[name], "-c", f"for t in {tools}; do command -v $t; done", entrypoint="sh"))
        assert len(output.split()) == len(tools.split())


def test_certificates_of_the_web_are_in_what_talks_to_it(kit, engine):
    code, said = once(
        engine, kit["alertmanager"], "-c", "BEGIN CERTIFICATE", "/etc/ssl/certs/ca-certificates.crt", entrypoint="grep"
    )
    assert code == 0
    assert int(said) > 100


def test_python_starts_with_all_that_the_standard_library_promises(kit, engine):
    code = "import ssl, sqlite3, ctypes, lzma, bz2, zlib, uuid, sys, zoneinfo as z; z.ZoneInfo('Europe/Paris')"
    assert once(engine, kit["python"], "python", "-c", f"{code}; print(sys.version_info[:2])") == (0, "(3, 13)\n")
