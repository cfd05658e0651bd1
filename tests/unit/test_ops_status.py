"""What `status` and `ps` show of a stack, and for which containers a verb is meant."""

from datetime import UTC, datetime

import pytest
from docker.errors import APIError, NotFound

from machine.progress import SetupError
from ops.deploy.restart import in_order, restart_each
from ops.inspect.logs import tail_unhealthy
from ops.inspect.status import format_uptime, format_usage, instance_statuses, of_service, wait_until_settled
from runtime.instances import used_memory
from runtime.pulumi_state import MARK, MARKED_SECRET
from tests.support import states
from tests.support.clock import FakeClock
from tests.support.fake_docker import FakeDocker
from tests.support.states import container

NOW = datetime(2026, 11, 21, 13, 0, 0, tzinfo=UTC)
OUTPUTS = states.stack_outputs(urls={"backend": "http://127.0.0.1:3333", "postgres": "postgresql://127.0.0.1:5433"})


def state(*resources):
    return states.state(OUTPUTS, *resources)


@pytest.fixture
def clock(monkeypatch):
    clock = FakeClock()
    for module in ("ops.inspect.status", "ops.deploy.restart"):
        monkeypatch.setattr(f"{module}.time", clock)
    return clock


class TestRows:
    def test_a_row_has_health_restarts_image_memory_and_address(self, docker):
        docker.add_container("backend", health="healthy")
        (row,) = instance_statuses(state(container("backend")), docker, memory=True)
        assert (row.service, row.health, row.restarts, row.image) == ("backend", "healthy", "2", "app:7")
        assert (row.memory, row.url) == ("49 / 512 MiB", "http://127.0.0.1:3333")

    def test_statistics_that_fail_are_a_dash_in_the_row(self, docker):
        docker.add_container("backend")
        docker.api.failures["stats", "backend"] = APIError("no statistics")
        assert instance_statuses(state(container("backend")), docker, memory=True)[0].memory == "\N{EN DASH}"

    def test_jobs_are_done_or_failed_and_config_writers_are_left_out(self, docker):
        docker.add_container("migrate", status="exited")
        docker.add_container("seed", status="exited", exit_code=3)
        jobs = [container(name, must_run=False) for name in ("migrate", "seed")]
        found = {
            row.service: row for row in instance_statuses(state(*jobs, container("w", urn="urn:shop-writer")), docker)
        }
        assert found.keys() == {"migrate", "seed"}
        assert (found["migrate"].health, found["seed"].health) == ("done", "failed (3)")
        assert (found["migrate"].well, found["seed"].well) == (True, False)
        assert found["migrate"].uptime == "\N{EN DASH}"

    def test_a_removed_container_is_gone(self, docker):
        (row,) = instance_statuses(state(container("backend")), docker)
        assert (row.health, row.well) == ("gone", False)

    def test_the_new_version_of_a_failed_release_stands_beside_the_one_that_serves(self, docker):
        docker.add_container("backend", health="unhealthy")
        docker.add_container("backend-old", health="healthy")
        made = state(container("backend"), container("backend", delete=True), container("frontend", delete=True))
        assert [(row.health, row.replaced, row.well) for row in instance_statuses(made, docker)] == [
            ("unhealthy", False, False),
            ("healthy", True, True),
        ]


@pytest.mark.parametrize(
    ("since", "text"),
    [
        ("2026-11-21T12:59:52Z", "8s"),
        ("2026-11-21T12:47:55Z", "12m 5s"),
        ("2026-11-21T10:00:00Z", "3h 0m"),
        ("2026-11-18T09:00:00Z", "3d 4h"),
        ("2026-11-21T13:00:05Z", "0s"),
    ],
)
def test_an_uptime_has_its_two_largest_units(since, text):
    assert format_uptime(datetime.fromisoformat(since), NOW) == text


@pytest.mark.parametrize(
    ("stats", "text"),
    [
        ({"total_inactive_file": 10 << 20, "inactive_file": 0}, "90 / 512 MiB"),
        ({"inactive_file": 20 << 20}, "80 / 512 MiB"),
        ({}, "100 / 512 MiB"),
    ],
)
def test_memory_in_use_leaves_out_the_page_cache_under_both_control_groups(stats, text):
    assert format_usage(used_memory({"usage": 100 << 20, "limit": 512 << 20, "stats": stats})) == text


class TestChoice:
    SERVICES = ("backend", "backend-2", "backend-old", "worker", "worker-2")
    NAMES = ("backend", "worker", "worker-2")  # what the product calls its services: worker-2 is one of its own

    @pytest.fixture
    def found(self, docker):
        return instance_statuses(state(*map(container, self.SERVICES)), docker)

    @pytest.mark.parametrize(
        ("service", "chosen"), [("backend", ["backend", "backend-2"]), ("worker", ["worker"]), (None, [*SERVICES])]
    )
    def test_a_service_comes_with_its_replicas_and_nothing_else(self, found, service, chosen):
        assert [row.service for row in of_service(found, service, self.NAMES, "dev")] == chosen

    def test_an_unknown_service_is_answered_with_the_known_ones(self, found):
        with pytest.raises(SetupError, match=r"no service nope is running .*\. running: backend, backend-2, .*worker"):
            of_service(found, "nope", [], "dev")
        with pytest.raises(SetupError, match=r"the stack dev is not running.*dockyard up dev"):
            of_service([], None, [], "dev")


@pytest.mark.usefixtures("clock")
class TestRestart:
    def test_data_stores_are_restarted_first_and_the_edge_last(self, docker):
        services = ("traefik", "grafana", "backend", "redis", "alpha", "postgres")
        ordered = in_order(instance_statuses(state(*map(container, services)), docker))
        assert [row.service for row in ordered] == ["redis", "postgres", "grafana", "backend", "alpha", "traefik"]

    def test_each_container_gets_its_own_time_to_stop(self, docker, progress, printed):
        docker.add_container("backend", health="healthy", config={"StopTimeout": 45})
        docker.add_container("bot")
        found = instance_statuses(state(container("backend"), container("bot")), docker)
        assert restart_each(docker, found, 1, progress) == 0
        assert docker.changes == [("restart", "backend", 45), ("restart", "bot", 10)]
        assert "✓ Restart backend: healthy" in printed.getvalue()
        assert "✓ Restart bot: running" in printed.getvalue()

    def test_the_first_container_that_stays_away_ends_the_restart_with_its_log(self, docker, progress, printed):
        docker.add_container("backend", health="unhealthy", logs=b"last words\n")
        docker.add_container("traefik", health="healthy")
        found = instance_statuses(state(container("backend"), container("traefik")), docker)
        assert restart_each(docker, found, 0, progress) == 1
        assert docker.changes == [("restart", "backend", 10)]
        told = ("✗ Restart backend: did not recover: unhealthy", "last words", "health check: wget: 503")
        assert all(text in printed.getvalue() for text in (*told, "not restarted: traefik"))

    def test_a_removed_container_ends_the_restart(self, docker, progress, printed):
        assert restart_each(docker, instance_statuses(state(container("backend")), docker), 0, progress) == 1
        assert "did not recover: gone" in printed.getvalue()


class TestLastWords:
    @pytest.fixture
    def docker(self):
        docker = FakeDocker()
        for name, health in (("backend", "unhealthy"), ("old", "unhealthy"), ("bot", None), ("web", "healthy")):
            labels = {"dockyard.stack": "dev", "dockyard.service": name}
            docker.add_container(name, health=health, labels=labels, logs=b"first\nlast\n")
        return docker

    def test_last_words_are_those_of_unhealthy_containers_that_stay(self, docker):
        assert tail_unhealthy(docker, "dev", replaced={"old"}) == [
            ("backend", ["first", "last", "health check: wget: 503"])
        ]

    def test_last_words_of_a_container_removed_meanwhile_say_so(self, docker):
        docker.api.failures["logs", "backend"] = NotFound("removed")
        assert tail_unhealthy(docker, "dev", replaced={"old"}) == [("backend", ["(it has been removed)"])]


def test_generated_secrets_are_found_by_the_end_of_their_resources_names():
    made = state(
        *(
            {
                "type": "pulumi-python:dynamic:Resource",
                "urn": f"urn:dev::shop-app-{name}",
                "outputs": {"value": {MARK: MARKED_SECRET, **value}},
            }
            for name, value in {"postgres-password": {"plaintext": '"secret"'}, "app-key": {"ciphertext": "v1"}}.items()
        )
    )
    assert made.generated(["postgres-password", "app-key"]) == {"postgres-password": "secret"}


def test_what_waits_for_its_deletion_is_kept_once_or_replaced():
    volumes = state(states.data_volume("data"), states.data_volume("data", delete=True))
    assert volumes.kept_with_data() == ["urn:data"]
    assert state(container("backend", delete=True), container("backend")).replaced() == {"backend-old"}


class TestSettling:
    CHECK = {"Healthcheck": {"Interval": 2 * 10**9, "Timeout": 10**9}}

    def test_an_unhealthy_service_gets_the_time_of_two_checks_to_recover(self, docker, clock):
        health = docker.add_container("backend", health="unhealthy", config=self.CHECK)["State"]["Health"]
        clock.after(5, lambda: health.update(Status="healthy"))
        wait_until_settled(state(container("backend")), docker, seconds=60)
        assert [row.health for row in instance_statuses(state(container("backend")), docker)] == ["healthy"]

    def test_a_service_that_stays_unhealthy_is_waited_for_no_longer(self, docker, clock):
        docker.add_container("backend", health="unhealthy", config=self.CHECK)
        began = clock.now
        wait_until_settled(state(container("backend")), docker, seconds=60)
        assert clock.now - began == pytest.approx(7, abs=0.5), "two checks of 3 s, and a moment"
