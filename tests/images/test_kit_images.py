"""The kit's images behave as the official ones do, under the restrictions that the stacks put on every container."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from tests.support.containers import inside, once, running, stop_and_exit_code, wait_healthy, wait_in
from toolchain.kit.recipes import RECIPES

SECRET = 'it\'s "quoted" $HOME\n'
"""A password that survives only careful hands."""

CONVENTIONS = {
    "alertmanager": ("nobody", ["/bin/alertmanager"], "/alertmanager", [9093]),
    "blackbox-exporter": ("", ["/bin/blackbox_exporter"], None, [9115]),
    "busybox": ("", None, None, []),
    "cadvisor": ("", ["/usr/bin/cadvisor", "-logtostderr"], None, [8080]),
    "cloudflared": ("65532:65532", ["cloudflared", "--no-autoupdate"], None, []),
    "grafana": ("472", ["python", "-m", "grafana_double"], None, [3000]),
    "loki": ("10001", ["/usr/bin/loki"], None, [3100]),
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

NAMES = sorted(CONVENTIONS.keys() & RECIPES.keys())
NO_SHELL = ("busybox", "cloudflared", "victorialogs", "vmalert")
"""Images that have no tools, or nothing else."""


@pytest.fixture
def volume(engine: docker.DockerClient) -> Iterator[str]:
    name = f"kit-test-{uuid.uuid4().hex[:12]}"
    engine.volumes.create(name)
    yield name
    engine.volumes.get(name).remove(force=True)


def test_the_conventions_of_every_image_are_known():
    assert CONVENTIONS.keys() >= RECIPES.keys()


@pytest.mark.parametrize("name", NAMES)
def test_an_image_says_of_itself_what_the_official_one_says(kit, engine, name: str):
    user, entrypoint, volume, ports = CONVENTIONS[name]
    image = engine.images.get(kit[name])
    config = image.attrs["Config"]
    assert config["User"] == user
    assert config["Entrypoint"] == entrypoint
    assert set(config.get("Volumes") or {}) == ({volume} if volume else set())
    assert set(config.get("ExposedPorts") or {}) == {f"{port}/tcp" for port in ports}
    assert "not the official image" in image.labels["dockyard.kit"]
    assert image.labels["dockyard.kit.stands-for"].startswith("127.0.0.1:9/")
    assert image.labels["dockyard.kit.carries"].strip()
    if name not in NO_SHELL:
        tools = "sh cp chown chmod mkdir rm find wget cat id"
        code, output = once(engine, kit[name], "-c", f"for t in {tools}; do command -v $t; done", entrypoint="sh")
        assert code == 0, output
        assert len(output.split()) == len(tools.split())


def test_certificates_of_the_web_are_in_what_talks_to_it(kit, engine):
    code, said = once(
        engine, kit["alertmanager"], "-c", "BEGIN CERTIFICATE", "/etc/ssl/certs/ca-certificates.crt", entrypoint="grep"
    )
    assert code == 0
    assert int(said) > 100


@pytest.mark.parametrize(
    ("name", "port", "path", "command"),
    [
        ("prometheus", 9090, "/-/ready", None),
        (
            "alertmanager",
            9093,
            "/-/ready",
            ["--config.file=/etc/alertmanager/alertmanager.yml", "--cluster.listen-address="],
        ),
        ("node-exporter", 9100, "/", None),
        ("redis-exporter", 9121, "/health", None),
        ("postgres-exporter", 9187, "/", None),
        ("blackbox-exporter", 9115, "/-/healthy", None),
        ("cadvisor", 8080, "/healthz", None),
        ("grafana", 3000, "/api/health", None),
    ],
)
def test_it_becomes_healthy_by_its_own_wget(kit, engine, name: str, port: int, path: str, command):
    environment = {
        "DATA_SOURCE_URI": "localhost:5432/x?sslmode=disable",
        "DATA_SOURCE_USER": "x",
        "DATA_SOURCE_PASS": "x",
        "GF_SECURITY_ADMIN_PASSWORD": "x",
    }
    # Grafana keeps its database there, and its double something in its place.
    folders = {"/var/lib/grafana": "uid=472,mode=0750"} if name == "grafana" else {}
    with running(engine, kit[name], command=command, environment=environment, tmpfs=folders) as container:
        wait_healthy(container, f"wget -q -O /dev/null http://127.0.0.1:{port}{path}")


def test_prometheus_owns_a_new_volume_and_keeps_its_data_there(kit, engine, volume: str):
    mounts = {volume: {"bind": "/prometheus"}}
    with running(engine, kit["prometheus"], volumes=mounts) as container:
        wait_healthy(container, "wget -q -O /dev/null http://127.0.0.1:9090/-/ready")
        assert inside(container, "ls /prometheus")[1].split()[-1] == "wal"
        assert inside(container, "id -u")[1].strip() == "65534"


def test_promtool_and_amtool_check_configurations(kit, engine):
    assert (
        once(engine, kit["prometheus"], "check", "config", "/etc/prometheus/prometheus.yml", entrypoint="promtool")[0]
        == 0
    )
    assert (
        once(engine, kit["alertmanager"], "check-config", "/etc/alertmanager/alertmanager.yml", entrypoint="amtool")[0]
        == 0
    )
    assert once(engine, kit["prometheus"], "check", "config", "/etc/passwd", entrypoint="promtool")[0] != 0


READY = "pg_isready -q -h 127.0.0.1 -U app -d shop-1"


def postgres(kit: Mapping[str, str], folder: Path, volume: str, **changes) -> dict:
    """Return how to run Postgres as the stacks do, with a password and with scripts from a folder."""
    password, scripts = folder / "password", folder / "scripts"
    password.write_text(SECRET)
    scripts.mkdir()
    (scripts / "1-table.sql").write_text("create table made (by text);\n")
    script = scripts / "2-row.sh"
    insert = "insert into made values ('script')"
    script.write_text(f'#!/bin/bash\npsql -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c "{insert}"\n')
    for path, mode in ((password, 0o644), (script, 0o755), (scripts, 0o755), (folder, 0o755)):
        path.chmod(mode)
    return {
        "image": kit["postgres"],
        "command": ["postgres", "-c", "shared_buffers=32MB"],
        "user": "999:999",
        "tmpfs": {"/var/run/postgresql": "rw,noexec,nosuid,nodev,size=64m", "/tmp": "rw,noexec,nosuid,nodev,size=64m"},
        "environment": {"POSTGRES_USER": "app", "POSTGRES_DB": "shop-1", "POSTGRES_PASSWORD_FILE": "/run/password"},
        "volumes": {
            volume: {"bind": "/var/lib/postgresql/data"},
            str(password): {"bind": "/run/password", "mode": "ro"},
            str(scripts): {"bind": "/docker-entrypoint-initdb.d", "mode": "ro"},
        },
        **changes,
    }


def ask(container, query: str, **environment: str) -> tuple[int, str]:
    """Ask over TCP; from the loopback address Postgres trusts everybody, as in the official image."""
    code, output = container.exec_run(
        ["psql", "-Atc", query],
        environment={"PGHOST": "127.0.0.1", "PGUSER": "app", "PGDATABASE": "shop-1", **environment},
    )
    return code, output.decode().strip()


@pytest.fixture(scope="module")
def database(kit, engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """Postgres on a network without a way out; it answers when the server that only makes the database has gone."""
    name = f"kit-test-{uuid.uuid4().hex[:12]}"
    network, volume = engine.networks.create(name, internal=True), engine.volumes.create(name)
    options = postgres(kit, tmp_path_factory.mktemp("postgres"), name, network_mode=name)
    with running(engine, **options) as container:
        # The server that makes the database listens on no address.
        wait_healthy(container, READY)
        yield container
    network.remove()
    volume.remove(force=True)


def test_postgres_makes_its_database_from_files(database: Container):
    assert ask(database, "show shared_buffers") == (0, "32MB")
    assert ask(database, "show server_encoding") == (0, "UTF8")
    assert ask(database, "select datcollate from pg_database where datname = 'shop-1'") == (0, "en_US.utf8")
    assert ask(database, "select by from made") == (0, "script")
    assert "quoted" not in database.logs().decode()


def test_postgres_asks_everybody_else_for_the_password(database: Container):
    database.reload()
    ((_, network),) = database.attrs["NetworkSettings"]["Networks"].items()
    address = network["IPAddress"]
    assert ask(database, "select 1", PGHOST=address, PGPASSWORD=SECRET.strip()) == (0, "1")
    code, output = ask(database, "select 1", PGHOST=address, PGPASSWORD="wrong")
    assert code != 0
    assert "password authentication failed" in output


def test_postgres_stops_at_its_signal_keeps_its_data_and_runs_scripts_once(database: Container):
    assert ask(database, "create table if not exists kept as select 42 as answer")[0] == 0
    assert stop_and_exit_code(database) == 0
    assert database.logs().decode().rstrip().endswith("database system is shut down")
    database.start()
    wait_healthy(database, READY)
    assert ask(database, "select answer from kept") == (0, "42")
    assert ask(database, "select count(*) from made") == (0, "1")


def test_postgres_started_as_root_runs_as_its_own_user(kit, engine, volume: str, tmp_path: Path):
    caps = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETUID", "SETGID"]
    with running(engine, **postgres(kit, tmp_path, volume, user="root", cap_add=caps)) as container:
        wait_healthy(container, READY)
        assert inside(container, "stat -c %U /proc/1")[1].strip() == "postgres"


def test_postgres_without_a_password_says_what_is_missing(kit, engine):
    code, said = once(engine, kit["postgres"], user="999:999", tmpfs={"/var/lib/postgresql/data": "uid=999"})
    assert code != 0
    assert "POSTGRES_PASSWORD_FILE" in said


def test_redis_serves_as_999_and_keeps_its_data(kit, engine, volume: str):
    mounts = {volume: {"bind": "/data"}}
    command = ["redis-server", "--requirepass", "x", "--appendonly", "yes"]
    with running(engine, kit["redis"], command=command, user="999:999", volumes=mounts) as container:
        wait_healthy(container, "redis-cli -a x ping | grep -q PONG")
        assert inside(container, "redis-cli ping")[1].startswith("NOAUTH")
        assert inside(container, "redis-cli -a x set kept 42")[0] == 0
        container.restart(timeout=10)
        wait_healthy(container, "redis-cli -a x get kept | grep -q 42")


def test_redis_takes_a_configuration_file_and_has_no_protected_mode_of_its_own(kit, engine, tmp_path: Path):
    (tmp_path / "redis.conf").write_text("maxmemory 30mb\n")
    tmp_path.chmod(0o755)
    mounts = {str(tmp_path): {"bind": "/etc/redis", "mode": "ro"}}
    command = ["redis-server", "/etc/redis/redis.conf"]
    with running(engine, kit["redis"], command=command, user="999:999", volumes=mounts) as container:
        wait_healthy(container, "redis-cli ping | grep -q PONG")
        assert "31457280" in inside(container, "redis-cli config get maxmemory")[1]
        assert "no" in inside(container, "redis-cli config get protected-mode")[1].split()


def test_redis_started_as_root_runs_as_its_own_user(kit, engine):
    with running(engine, kit["redis"], cap_add=["SETUID", "SETGID", "CHOWN"]) as container:
        wait_healthy(container, "redis-cli ping | grep -q PONG")
        assert inside(container, "stat -c %U /proc/1")[1].strip() == "redis"


def test_cadvisor_without_the_docker_socket_reports_containers_by_their_ids(kit, engine):
    options = {
        "command": [
            "--port=8080",
            "--docker_only=true",
            "--raw_cgroup_prefix_whitelist=/docker/,/system.slice/docker-",
        ],
        "user": "0:0",
        "volumes": {"/": {"bind": "/rootfs", "mode": "ro"}, "/sys": {"bind": "/sys", "mode": "ro"}},
    }
    with running(engine, kit["cadvisor"], **options) as container:
        metrics = "wget -q -O - http://127.0.0.1:8080/metrics"
        wait_healthy(container, f"{metrics} | grep container_memory_working_set_bytes | grep -q {container.id}")
        found = inside(container, metrics)[1]
        assert "container_cpu_usage_seconds_total" in found
        assert 'container_start_time_seconds{id="/"}' in found
        assert "machine_memory_bytes" in found


def test_traefik_takes_options_and_commands_and_says_its_version(kit, engine):
    assert "Version:      3.3.4" in once(engine, kit["traefik"], "version")[1]
    assert once(engine, kit["traefik"], "--help")[1].startswith("traefik")
    assert once(engine, kit["traefik"], "echo", "as it stands") == (0, "as it stands\n")


def test_cloudflared_says_its_version_and_has_no_shell(kit, engine):
    code, said = once(engine, kit["cloudflared"])
    assert (code, said) == (0, "cloudflared version 2025.8.1 (built by Dockyard's image kit: a double)\n")
    with pytest.raises(docker.errors.APIError, match="executable file not found"):
        once(engine, kit["cloudflared"], "-c", "true", entrypoint="sh")


def test_cloudflared_checks_itself_and_is_not_ready_where_it_cannot_connect(kit, engine):
    token = base64.b64encode(b'{"a": "acc", "t": "6d1a2a9e-5c7b-4a0e-9b0e-0d9a1f1f1f1f", "s": "c2VjcmV0"}').decode()
    command = ["tunnel", "--no-autoupdate", "--metrics", "127.0.0.1:20241", "run"]
    check = ["cloudflared", "tunnel", "--metrics", "127.0.0.1:20241", "ready"]
    with running(engine, kit["cloudflared"], command=command, environment={"TUNNEL_TOKEN": token}) as container:
        wait_in(container, lambda: b"status code 503" in container.exec_run(check).output, "it answers")
        assert container.exec_run(check).exit_code == 1
        assert stop_and_exit_code(container) == 0


def test_python_starts_with_all_that_the_standard_library_promises(kit, engine):
    code = "import ssl, sqlite3, ctypes, lzma, bz2, zlib, uuid, sys, zoneinfo as z; z.ZoneInfo('Europe/Paris')"
    assert once(engine, kit["python"], "python", "-c", f"{code}; print(sys.version_info[:2])") == (0, "(3, 13)\n")
