"""Love Parser's queues: what jobs do to the metrics."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from demo.api import Stores, build_app
from demo.jobs import KPIS, Job, Queues
from demo.metrics import BackendMetrics
from demo.switches import ServerSettings
from tests.demo.fakes import FakeCache, FakeJobs

SERVER = ServerSettings(port=3000, release="r7", grace=8)


class LoveParser:
    """The backend with its queues; `work` does what the worker does."""

    def __init__(self) -> None:
        self.jobs, self.metrics = FakeJobs(), BackendMetrics("", polls=False)
        self.queues = Queues(self.jobs, self.metrics.registry)
        stores = Stores(cache=FakeCache(), queues=self.queues)
        self.client = TestClient(build_app(stores, SERVER, self.metrics), raise_server_exceptions=False)

    def value(self, sample: str, **labels: str) -> float:
        self.client.get("/metrics")
        found = self.metrics.registry.get_sample_value(sample, labels)
        assert found is not None, f"no {sample} with {labels}"
        return found


def work(queues: Queues, queue: str) -> int:
    """Do what the worker does until the queue gives out nothing; return how many jobs that were."""

    async def until_empty() -> int:
        done = 0
        while await queues.work_once(queue):
            done += 1
        return done

    return asyncio.run(until_empty())


@pytest.mark.parametrize(("queue", "kpis"), list(KPIS.items()))
def test_jobs_move_their_queues_metrics_and_their_kpi(queue: str, kpis: tuple[str, str]) -> None:
    product = LoveParser()
    succeeded, failed = (f"love_parser_{name}_total" for name in kpis)
    before = product.value("bull_queue_last_completed_timestamp_seconds", queue=queue)
    added = product.client.post(f"/queues/{queue}/jobs", json={"count": 3})
    assert (added.status_code, added.json()) == (202, {"queue": queue, "added": 3})
    product.client.post(f"/queues/{queue}/jobs", json={"fail": True, "seconds": 0.02})
    assert product.value("bull_queue_waiting", queue=queue) == 4
    assert work(product.queues, queue) == 4
    assert product.value("bull_queue_waiting", queue=queue) == 0
    assert (product.value(succeeded), product.value(failed)) == (3, 1)
    assert product.value("bull_queue_completed_total", queue=queue) == 3
    assert product.value("bull_queue_failed_total", queue=queue) == 1
    assert product.value("bull_job_duration_seconds_count", queue=queue) == 4
    assert product.value("bull_job_duration_seconds_sum", queue=queue) >= 0.02
    assert product.value("bull_queue_last_completed_timestamp_seconds", queue=queue) > before


def test_the_worker_ends_a_job_under_way_and_takes_no_more() -> None:
    jobs = FakeJobs()
    queues = Queues(jobs, registry := CollectorRegistry())

    async def leave_while_working() -> None:
        await jobs.push("parsing", [Job(seconds=0.2), Job()])
        async with queues.working():
            await asyncio.sleep(0.1)

    asyncio.run(leave_while_working())
    assert registry.get_sample_value("love_parser_parsing_jobs_processed_total") == 1
    assert len(jobs.queues["parsing"]) == 1
