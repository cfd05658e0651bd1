"""What the dev stack's containers write is found in Grafana, once, by product, environment and service."""

import uuid

import pytest

from tests.live.test_1_up import wait_until

LOKI = "/api/datasources/proxy/uid/loki/loki/api/v1"


@pytest.fixture(scope="module")
def loki(dev):
    """Ask Loki through Grafana, as people do."""
    account = ("admin", dev.outputs()["secrets"]["grafana-admin-password"])

    def ask(path: str, **parameters: str):
        answer = dev.get("grafana", LOKI + path, params=parameters, auth=account)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    return ask


def test_every_service_that_runs_has_its_lines_in_loki(dev, loki):
    running = {one.labels["dockyard.service"] for one in dev.docker().containers.list() if one.logs(tail=1)}
    assert running >= {"backend", "frontend", "postgres", "redis", "prometheus", "grafana"}

    def every_service_is_there():
        return set(loki("/label/service/values", since="24h")) >= running

    wait_until(every_service_is_there, 60)


def test_lines_are_labelled_with_product_and_environment(loki):
    found = loki("/series", **{"match[]": '{service="backend"}', "since": "24h"})
    assert found == [{"product": "tumulte", "environment": "development", "service": "backend"}]


def test_lines_arrive_once_each_while_the_collector_is_killed_and_started(dev, loki):
    """A question that Postgres cannot answer is a line in its log."""
    marks = [uuid.uuid4().hex for _ in range(20)]
    postgres, collector = dev.container("postgres"), dev.container("collector")
    for number, mark in enumerate(marks):
        ask = f"""psql -h 127.0.0.1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c "select '{mark}'::date" """
        code, said = postgres.exec_run(["sh", "-c", ask])
        assert code == 1, said.decode()
        assert mark in said.decode()
        if number in (5, 12):
            collector.kill()
            collector.start()

    def all_have_arrived():
        alternatives = "|".join(marks)
        query = f'{{service="postgres"}} |= "ERROR" |~ "{alternatives}"'
        found = loki("/query_range", query=query, since="1h", limit="1000")["result"]
        lines = [line for stream in found for _, line in stream["values"]]
        return lines if len(lines) >= len(marks) else None

    lines = wait_until(all_have_arrived, 60)
    assert len(lines) == len(marks)
    assert all(sum(mark in line for line in lines) == 1 for mark in marks)
