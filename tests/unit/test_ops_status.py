"""What is shown of a stack, and the containers that a verb is meant for."""

import io
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import docker
import pytest
from docker.errors import NotFound
from rich.console import Console

from ops.logs import last_words
from ops.restart import in_order, restart_each
from ops.state import State
from ops.status import of_service, print_table, rows, spell_uptime, spell_usage, wait_until_settled
from toolchain.progress import Progress, SetupError

NOW = datetime(2026, 11, 21, 13, 0, 0, tzinfo=UTC)
STACK = {
    "type": "pulumi:pulumi:Stack",
    "urn": "urn:stack",
    "outputs": {"urls": {"backend": "http://127.0.0.1:3333", "postgres": "postgresql://127.0.0.1:5433"}},
}


def container(service: str, *, must_run: bool = True, delete: bool = False, name: str = "") -> dict:
    return {
        "type": "docker:index/container:Container",
        "urn": f"urn:dev::{name or service}",
        "id": f"{service}{'-old' if delete else ''}-id",
        "delete": delete,
        "inputs": {
            "image": "registry.example/team/app:7@sha256:aa",
            "mustRun": must_run,
            "labels": [{"label": "dockyard.service", "value": service}],
        },
        "outputs": {},
    }


def attrs(health: str | None = "healthy", status: str = "running", **more) -> dict:
    state = {"Status": status, "ExitCode": more.pop("code", 0), "StartedAt": "2026-11-21T12:00:00.123456789Z"}
    if health:
        state["Health"] = {"Status": health, "Log": [{"Output": "wget: 503\n"}]}
    return {"State": state, "RestartCount": 2, "Config": {}, **more}


class Engine:
    """A Docker engine of containers that answer as they are told."""

    def __init__(self, **containers: dict) -> None:
        self.known = {name.replace("_", "-"): said for name, said in containers.items()}
        self.api = SimpleNamespace(inspect_container=self.inspect, stats=self.stats, restart=self.restart)
        self.containers = SimpleNamespace(get=self.get, list=lambda **_: [self.get(name) for name in self.known])
        self.restarted: list[tuple[str, int]] = []
        self.broken_stats = False

    def inspect(self, identity: str) -> dict:
        if identity not in self.known:
            raise NotFound("no such container")
        return self.known[identity]

    def stats(self, identity: str, **_: object) -> dict:
        if self.broken_stats:
            raise docker.errors.APIError("no statistics")
        return {"memory_stats": {"usage": 50 * 2**20, "limit": 512 * 2**20, "stats": {"inactive_file": 2**20}}}

    def restart(self, identity: str, timeout: int) -> None:
        self.restarted.append((identity, timeout))

    def get(self, identity: str) -> SimpleNamespace:
        said = self.inspect(identity)
        return SimpleNamespace(
            id=identity,
            name=identity,
            labels={"dockyard.service": identity.removesuffix("-id").removesuffix("-old")},
            attrs=said,
            logs=lambda tail: b"first\nlast words of " + identity.encode(),
            reload=lambda: None,
        )


@pytest.fixture
def printed():
    return io.StringIO()


@pytest.fixture
def progress(printed):
    return Progress(Console(file=printed, width=200))


def state(*resources: dict) -> State:
    return State((STACK, *resources), False)


class TestRows:
    def test_a_row_says_health_restarts_image_memory_and_address(self):
        (row,) = rows(state(container("backend")), Engine(backend_id=attrs()), memory=True)
        assert (row.service, row.health, row.restarts, row.image) == ("backend", "healthy", "2", "app:7")
        assert (row.memory, row.url) == ("49 / 512 MiB", "http://127.0.0.1:3333")

    def test_statistics_that_fail_are_a_dash_and_no_end_of_the_table(self):
        engine = Engine(backend_id=attrs())
        engine.broken_stats = True
        assert rows(state(container("backend")), engine, memory=True)[0].memory == "\N{EN DASH}"

    def test_jobs_are_done_or_failed_and_config_writers_are_not_shown(self):
        made = state(
            container("migrate", must_run=False),
            container("seed", must_run=False),
            container("writer", name="shop-config-writer"),
        )
        engine = Engine(migrate_id=attrs(None, "exited"), seed_id=attrs(None, "exited", code=3))
        found = {row.service: row for row in rows(made, engine)}
        assert found.keys() == {"migrate", "seed"}
        assert (found["migrate"].health, found["seed"].health) == ("done", "failed (3)")
        assert (found["migrate"].well, found["seed"].well) == (True, False)
        assert found["migrate"].uptime == "\N{EN DASH}"

    def test_a_container_that_somebody_removed_is_gone(self):
        (row,) = rows(state(container("backend")), Engine())
        assert row.health == "gone"
        assert not row.well

    def test_after_a_failed_release_the_new_one_is_shown_beside_the_one_that_still_serves(self):
        made = state(container("backend"), container("backend", delete=True), container("frontend", delete=True))
        engine = Engine(backend_id=attrs("unhealthy"), backend_old_id=attrs())
        found = rows(made, engine)
        assert [(row.health, row.replaced, row.well) for row in found] == [
            ("unhealthy", False, False),
            ("healthy", True, True),
        ]

    def test_the_table_has_a_column_for_each_and_what_can_be_reached_stands_first(self, capsys):
        made = state(container("alpha"), container("backend"))
        print_table("shop · dev", rows(made, Engine(alpha_id=attrs(), backend_id=attrs())), ["a note"])
        said = capsys.readouterr().out
        for column in ("service", "health", "uptime", "restarts", "image", "memory", "URL"):
            assert column in said
        assert said.index("backend") < said.index("alpha")
        assert "a note" in said


@pytest.mark.parametrize(
    ("since", "text"),
    [
        ("2026-11-21T12:59:52.123456789Z", "8s"),
        ("2026-11-21T12:47:55Z", "12m 5s"),
        ("2026-11-21T10:00:00Z", "3h 0m"),
        ("2026-11-18T09:00:00Z", "3d 4h"),
        ("2026-11-21T13:00:05Z", "0s"),
    ],
)
def test_uptimes_read_in_their_two_largest_units(since, text):
    assert spell_uptime(since, NOW) == text


@pytest.mark.parametrize(
    ("stats", "text"),
    [
        ({"total_inactive_file": 10 * 2**20, "inactive_file": 0}, "90 / 512 MiB"),
        ({"inactive_file": 20 * 2**20}, "80 / 512 MiB"),
        ({}, "100 / 512 MiB"),
    ],
)
def test_memory_is_what_cannot_be_given_back_under_both_kinds_of_control_groups(stats, text):
    assert spell_usage({"usage": 100 * 2**20, "limit": 512 * 2**20, "stats": stats}) == text


class TestChoice:
    @pytest.fixture
    def found(self):
        services = ("backend", "backend-2", "backend-old", "worker", "worker-2")
        return rows(state(*map(container, services)), Engine())

    def test_a_service_comes_with_its_replicas_and_nothing_else(self, found):
        chosen = of_service(found, "backend", ["backend", "worker", "worker-2"], "dev")
        assert [row.service for row in chosen] == ["backend", "backend-2"]

    def test_a_service_of_its_own_is_nobodys_replica(self, found):
        chosen = of_service(found, "worker", ["backend", "worker", "worker-2"], "dev")
        assert [row.service for row in chosen] == ["worker"]

    def test_without_a_name_it_is_all_of_them(self, found):
        assert of_service(found, None, [], "dev") == found

    def test_an_unknown_service_is_told_with_those_that_there_are(self, found):
        with pytest.raises(SetupError, match=r"runs no service nope. it runs: backend, backend-2, .*worker"):
            of_service(found, "nope", [], "dev")

    def test_a_stack_that_is_down_is_told_so(self):
        with pytest.raises(SetupError, match=r"nothing of the stack dev runs.*dockyard up dev"):
            of_service([], None, [], "dev")


class TestRestart:
    @pytest.fixture(autouse=True)
    def at_once(self, monkeypatch):
        monkeypatch.setattr("ops.restart.POLL_SECONDS", 0.01)
        monkeypatch.setattr("ops.restart.STEADY_SECONDS", 0.01)

    def test_data_stores_come_first_the_edge_last_and_the_rest_as_it_was_made(self):
        services = ("traefik", "grafana", "backend", "redis", "alpha", "postgres")
        found = rows(state(*map(container, services)), Engine())
        assert [row.service for row in in_order(found)] == [
            "redis",
            "postgres",
            "grafana",
            "backend",
            "alpha",
            "traefik",
        ]

    def test_each_gets_the_time_to_stop_that_it_was_made_with(self, progress, printed):
        engine = Engine(backend_id=attrs(Config={"StopTimeout": 45}), bot_id=attrs(None))
        found = rows(state(container("backend"), container("bot")), engine)
        assert restart_each(engine, found, 1, progress) == 0
        assert engine.restarted == [("backend-id", 45), ("bot-id", 10)]
        assert "✓ Restart backend: healthy" in printed.getvalue()
        assert "✓ Restart bot: running" in printed.getvalue()

    def test_the_first_that_does_not_come_back_ends_it_with_its_last_words(self, progress, printed):
        engine = Engine(backend_id=attrs("unhealthy"), traefik_id=attrs())
        found = rows(state(container("backend"), container("traefik")), engine)
        assert restart_each(engine, found, 0, progress) == 1
        assert engine.restarted == [("backend-id", 10)]
        said = printed.getvalue()
        assert "✗ Restart backend: not well again: unhealthy" in said
        assert "last words of backend-id" in said
        assert "health check: wget: 503" in said
        assert "not restarted: traefik" in said

    def test_one_that_is_gone_is_told(self, progress, printed):
        engine = Engine()
        assert restart_each(engine, rows(state(container("backend")), engine), 0, progress) == 1
        assert "not well again: gone" in printed.getvalue()


class TestLastWords:
    def test_of_a_failed_release_the_new_container_speaks_and_not_the_one_that_was_to_go(self):
        engine = Engine(backend_id=attrs("unhealthy"), backend_old_id=attrs("unhealthy"), bot_id=attrs(None))
        ((service, lines),) = last_words(engine, "dev", replaced={"backend-old-id"})
        assert service == "backend"
        assert lines == ["first", "last words of backend-id", "health check: wget: 503"]

    def test_containers_without_a_health_check_and_healthy_ones_have_nothing_to_say(self):
        assert last_words(Engine(bot_id=attrs(None), backend_id=attrs()), "dev", replaced=set()) == []

    def test_one_that_is_removed_meanwhile_is_told(self):
        engine = Engine(backend_id=attrs("unhealthy"))
        one = engine.get("backend-id")

        def gone(tail: int) -> bytes:
            raise NotFound("removed")

        one.logs = gone
        engine.containers.list = lambda **_: [one]
        assert last_words(engine, "dev", replaced=set()) == [("backend", ["(it has been removed)"])]


def test_secrets_are_found_by_the_end_of_their_resources_names():
    def generated(name: str, value: object) -> dict:
        kind = "pulumi-python:dynamic:Resource"
        return {"type": kind, "urn": f"urn:dev::shop-app-{name}", "outputs": {"value": value}}

    made = state(generated("postgres-password", {"plaintext": '"secret"'}), generated("app-key", {"ciphertext": "v1"}))
    assert made.generated(["postgres-password", "app-key"]) == {"postgres-password": "secret"}


def test_what_waits_for_its_deletion_is_kept_once_with_the_data(capsys):
    volume = {
        "type": "docker:index/volume:Volume",
        "urn": "urn:dev::data",
        "inputs": {"labels": [{"label": "dockyard.volume", "value": "data"}]},
    }
    made = state(volume, {**volume, "delete": True})
    assert made.kept_with_data() == ["urn:dev::data"]
    assert state(container("backend", delete=True), container("backend")).replaced() == {"backend-old-id"}


class Recovering(Engine):
    """An engine whose backend is unhealthy for a number of looks."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    def inspect(self, identity: str) -> dict:
        self.looks -= 1
        said = attrs("unhealthy" if self.looks >= 0 else "healthy")
        return {**said, "Config": {"Healthcheck": {"Interval": 2 * 10**8, "Timeout": 10**8}}}


def test_a_service_that_was_without_its_store_is_given_two_checks_to_notice_that_it_is_back():
    state = State((STACK, container("backend")), False)
    engine = Recovering(looks=2)
    wait_until_settled(state, engine, seconds=60)
    assert [row.health for row in rows(state, engine)] == ["healthy"]


def test_a_service_that_stays_unhealthy_is_waited_for_no_longer_than_that():
    state = State((STACK, container("backend")), False)
    began = time.monotonic()
    wait_until_settled(state, Recovering(looks=10**6), seconds=60)
    assert 1.6 <= time.monotonic() - began < 5
