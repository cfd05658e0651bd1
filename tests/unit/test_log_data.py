"""A stack that changes its log store: the lines of the store before stay on the host."""

import json

import pytest

from ops.deploy.data_volumes import leave_other_stores_data
from runtime.pulumi_state import VOLUME
from settings.logs import Logs
from tests.support.states import resource, state

URN = "urn:pulumi:dev::dockyard::dockyard:log_pipeline:LogPipeline$docker:index/volume:Volume::shop-logs-{}-data"
LOKI, VICTORIALOGS = URN.format("loki"), URN.format("victorialogs")


class RecordingEngine:
    """Answers `stack export` with a state, and takes another one in."""

    def __init__(self, *volumes: dict) -> None:
        self.resources = [json.loads(json.dumps(volume)) for volume in volumes]
        self.imports = 0

    def run(self, *arguments: str) -> str:
        assert arguments == ("stack export",)
        return json.dumps({"version": 3, "deployment": {"resources": self.resources}})

    def read(self, *arguments: str) -> dict:
        return json.loads(self.run(*arguments))

    def import_state(self, exported: str) -> None:
        self.resources = json.loads(exported)["deployment"]["resources"]
        self.imports += 1


def volume(urn: str, **options: bool) -> dict:
    name = urn.rsplit("::", 1)[-1]
    return resource(f"{name}-0a1b2c3", VOLUME, urn=urn, **options)


@pytest.mark.parametrize("options", [{}, {"protect": True, "retainOnDelete": True}], ids=["development", "production"])
def test_the_volume_of_the_store_before_leaves_the_state_and_stays_on_the_host(options, progress, printed):
    before, other = volume(LOKI, **options), volume(VICTORIALOGS, **options)
    engine = RecordingEngine(before, other)
    leave_other_stores_data(state(before, other), engine, Logs(store="victorialogs"), progress)
    loki, victorialogs = engine.resources
    assert loki["retainOnDelete"]
    assert "protect" not in loki
    assert victorialogs == other
    assert "stay in the volume shop-logs-loki-data-0a1b2c3" in printed.getvalue()


@pytest.mark.parametrize("logs", [Logs(store="loki"), Logs(enabled=False)], ids=["the same store", "no logs"])
def test_a_state_without_another_store_stays_as_it_is(logs, progress, printed):
    known = state(volume(LOKI))
    engine = RecordingEngine(volume(LOKI))
    assert leave_other_stores_data(known, engine, logs, progress) is known
    assert engine.imports == 0
    assert printed.getvalue() == ""
