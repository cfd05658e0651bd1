"""The kit's images behave as the official ones do, under the restrictions that the stacks put on every container."""

import uuid
from collections.abc import Iterator

import docker
import pytest
from docker.models.containers import Container

from tests.support.containers import once, running, stop_and_exit_code, wait_healthy
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

NO_SHELL = ("busybox", "cloudflared", "victorialogs", "vmalert")
"""Images that have no tools, or nothing else."""


@pytest.mark.parametrize("name", sorted(RECIPES))
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


READY = "pg_isready -q -h 127.0.0.1 -U app -d shop-1"


def ask(container: Container, query: str, **environment: str) -> tuple[int, str]:
    """Ask over TCP; from the loopback address Postgres trusts everybody, as in the official image."""
    places = {"PGHOST": "127.0.0.1", "PGUSER": "app", "PGDATABASE": "shop-1", **environment}
    code, output = container.exec_run(["psql", "-Atc", query], environment=places)
    return code, output.decode().strip()


@pytest.fixture(scope="module")
def database(kit, engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """Postgres as the stacks run it, on a network without a way out, with its password in a file."""
    name, folder = f"kit-test-{uuid.uuid4().hex[:12]}", tmp_path_factory.mktemp("postgres")
    (folder / "password").write_text(SECRET)
    for path, mode in ((folder / "password", 0o644), (folder, 0o755)):
        path.chmod(mode)
    network, volume = engine.networks.create(name, internal=True), engine.volumes.create(name)
    with running(
        engine,
        kit["postgres"],
        command=["postgres", "-c", "shared_buffers=32MB"],
        user="999:999",
        tmpfs=dict.fromkeys(("/var/run/postgresql", "/tmp"), "rw,noexec,nosuid,nodev,size=64m"),
        environment={"POSTGRES_USER": "app", "POSTGRES_DB": "shop-1", "POSTGRES_PASSWORD_FILE": "/run/password"},
        volumes=[f"{name}:/var/lib/postgresql/data", f"{folder}/password:/run/password:ro"],
        network_mode=name,
    ) as container:
        # The server that makes the database listens on no address.
        wait_healthy(container, READY)
        yield container
    network.remove()
    volume.remove(force=True)


def test_postgres_makes_its_database_with_the_password_of_a_file(database: Container):
    assert ask(database, "show shared_buffers") == (0, "32MB")
    assert ask(database, "show server_encoding") == (0, "UTF8")
    assert ask(database, "select datcollate from pg_database where datname = 'shop-1'") == (0, "en_US.utf8")
    assert "quoted" not in database.logs().decode()
    database.reload()
    ((_, network),) = database.attrs["NetworkSettings"]["Networks"].items()
    address = network["IPAddress"]
    assert ask(database, "select 1", PGHOST=address, PGPASSWORD=SECRET.strip()) == (0, "1")
    code, output = ask(database, "select 1", PGHOST=address, PGPASSWORD="wrong")
    assert code != 0
    assert "password authentication failed" in output


def test_postgres_stops_at_its_signal_and_keeps_its_data(database: Container):
    assert ask(database, "create table if not exists answers as select 42 as answer")[0] == 0
    assert stop_and_exit_code(database) == 0
    assert database.logs().decode().rstrip().endswith("database system is shut down")
    database.start()
    wait_healthy(database, READY)
    assert ask(database, "select answer from answers") == (0, "42")


def test_cloudflared_says_its_version_and_has_no_shell(kit, engine):
    code, said = once(engine, kit["cloudflared"])
    assert (code, said) == (0, "cloudflared version 2025.8.1 (built by Dockyard's image kit: a double)\n")
    with pytest.raises(docker.errors.APIError, match="executable file not found"):
        once(engine, kit["cloudflared"], "-c", "true", entrypoint="sh")


def test_python_starts_with_all_that_the_standard_library_promises(kit, engine):
    code = "import ssl, sqlite3, ctypes, lzma, bz2, zlib, uuid, sys, zoneinfo as z; z.ZoneInfo('Europe/Paris')"
    assert once(engine, kit["python"], "python", "-c", f"{code}; print(sys.version_info[:2])") == (0, "(3, 13)\n")
