"""What is told of a stack: networks, volumes, strangers, the engine's own view, and what a repair does."""

import json
import re
import subprocess
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from ops.drift import pulumi_preview, repair
from ops.drift.docker import resources, unmanaged
from ops.drift.docker.fields import NETWORK_FIELDS, VOLUME_FIELDS
from ops.drift.docker.repair import repair_in_place
from ops.drift.findings import Finding, Repair
from ops.drift.report import DriftReport
from runtime.pulumi_state import MARK, MARKED_SECRET, NETWORK, VOLUME, Secret, urn_label
from tests.support import states
from tests.support.checkout import SOURCE
from tests.support.drift import ID, SCHEMA, URN, declared, only

LABELS = {"dockyard.product": "shop", "dockyard.stack": "dev"}
LISTED_LABELS = [{"label": name, "value": value} for name, value in LABELS.items()]
DATA = [*LISTED_LABELS, {"label": "dockyard.volume", "value": "data"}]


def network(**found):
    said = only({"name": "shop-app-1", "driver": "bridge", "labels": LISTED_LABELS}, kind=NETWORK, id="net-id")
    real = {"Id": "net-id", "Name": "shop-app-1", "Driver": "bridge", "Labels": LABELS, "Internal": False, **found}
    return {finding.field: finding for finding in resources.network(said, [real])}


@pytest.mark.parametrize(
    ("found", "fields"),
    [
        ({}, set()),
        ({"Driver": "overlay"}, {"driver"}),
        ({"Internal": True}, {"internal"}),
        ({"Labels": {**LABELS, "mine": "1"}}, {"labels.mine"}),
        ({"Options": {"enable_icc": "false"}}, {"options.enable_icc"}),
        ({"EnableIPv6": True}, {"ipv6"}),
        ({"Id": "other"}, {"network"}),
    ],
)
def test_a_network_is_compared_field_by_field(found, fields):
    assert set(network(**found)) == fields


@pytest.mark.parametrize(
    ("kind", "fields", "elsewhere"),
    [
        # The name is what it is found by.
        (NETWORK, NETWORK_FIELDS, {"name"}),
        (VOLUME, VOLUME_FIELDS, {"name", "cluster"}),
    ],
)
def test_every_input_of_networks_and_volumes_is_compared(kind, fields, elsewhere):
    inputs = {name for name, said in SCHEMA[kind]["fields"].items() if not said.get("output")}
    assert inputs - {name for field in fields for name in field.inputs} == elsewhere


def test_a_network_that_is_gone_differs_from_one_that_was_made_again():
    assert "another network has its name" in network(Id="other")["network"].actual
    assert next(resources.network(only({"name": "x"}, kind=NETWORK, id="net-id"), [])).actual == "gone"


@pytest.mark.parametrize(("labels", "repair_"), [(LISTED_LABELS, Repair.UPDATE), (DATA, Repair.MANUAL)])
def test_a_volume_that_is_gone_is_made_again_unless_it_held_data(labels, repair_):
    said = only({"name": "v-1", "labels": labels}, kind=VOLUME, id="v-1")
    assert [finding.repair for finding in resources.volume(said, {})] == [repair_]
    (other,) = resources.volume(said, {"v-1": {"Driver": "nfs", "Labels": said.labels}})
    assert (other.field, other.repair) == ("driver", Repair.REPLACE if labels is LISTED_LABELS else Repair.MANUAL)


def test_a_stranger_is_known_by_our_networks_or_our_labels(docker):
    docker.add_container("known", networks=["net-id"])
    docker.add_container("intruder", networks=["net-id"])
    docker.add_container("twin", labels=LABELS, networks=["bridge"])
    docker.add_container("another-checkout", labels=LABELS, networks=["shop-app-2"])
    docker.add_container("nobodys", networks=["bridge"])
    found = unmanaged.containers(docker.api.containers(all=True), {"known"}, {"net-id"}, LABELS)
    assert {finding.resource: finding.repair for finding in found} == {
        "container intruder": Repair.MANUAL,
        "container twin": Repair.MANUAL,
    }


def test_a_strange_network_has_our_labels_and_no_other_stack_on_it(docker):
    for name in ("own", "theirs", "left"):
        docker.add_network(name, labels=LABELS)
    docker.add_container("x", labels=LABELS, networks=["theirs"])
    found = unmanaged.networks(docker.api.networks(), {"own"}, LABELS, docker.api.containers(all=True))
    assert [finding.resource for finding in found] == ["network left"]


RECORD = "urn:pulumi:dev::dockyard::cloudflare:index/dnsRecord:DnsRecord::shop-record"


def step(op: str, urn: str = RECORD, inputs: dict | None = None, outputs: dict | None = None, **more) -> dict:
    return {"op": op, "urn": urn, "newState": {"inputs": inputs or {}}, "oldState": {"outputs": outputs or {}}, **more}


def record(inputs: dict, urn: str = RECORD, **more):
    return only(inputs, kind="cloudflare:index/dnsRecord:DnsRecord", urn=urn, **more)


def judged(*steps: dict, declared_: list, known: tuple = ()) -> tuple[list[Finding], list[str]]:
    return pulumi_preview.judge(pulumi_preview.Preview(steps), declared_, known)


@pytest.mark.parametrize(
    ("outputs", "difference", "fields"),
    [
        ({"content": "b"}, ["content"], ["content"]),
        # What the other side filled in empty counts only alone.
        ({"content": "b", "settings": {}}, ["content", "settings"], ["content"]),
        ({"content": "a", "settings": {}}, ["settings"], ["settings"]),
    ],
)
def test_a_change_that_the_program_did_not_ask_for_has_drifted(outputs, difference, fields):
    update = step("update", inputs={"content": "a"}, outputs=outputs, detailedDiff={key: {} for key in difference})
    found, pending = judged(step("refresh"), update, declared_=[record({"content": "a"})])
    assert [finding.field for finding in found] == fields
    assert found[0].resource == "dnsrecord shop-record"
    if fields == ["content"]:
        assert (found[0].declared, found[0].actual) == ("a", "b")
    assert pending == []


def test_a_resource_that_is_gone_has_drifted():
    (found,), _ = judged(step("create", inputs={"content": "a"}), declared_=[record({"content": "a"})])
    assert (found.actual, found.repair) == ("gone", Repair.UPDATE)


def test_a_change_of_the_program_is_pending_and_no_drift():
    state = [record({"content": "a"})]
    updated = ([], ["dnsrecord shop-record: would be updated (content)"])
    assert judged(step("update", inputs={"content": "c"}), declared_=state) == updated
    assert judged(step("create", urn=RECORD.replace("record", "new")), declared_=state)[1] != []
    assert judged(step("delete"), declared_=state)[1] == ["dnsrecord shop-record: would be removed"]


def test_what_a_failed_run_has_replaced_and_left_is_pending():
    state = [record({"content": "a"}), record({"content": "b"}, id="0123456789abcdef", pending_delete=True)]
    assert judged(declared_=state)[1] == ["dnsrecord shop-record: 0123456789ab, which was replaced, would be removed"]


def test_a_changed_secret_is_pending_and_not_printed():
    _, pending = judged(
        step("update", inputs={"content": {MARK: MARKED_SECRET, "plaintext": '"new"'}}),
        declared_=[record({"content": Secret("old")})],
    )
    assert pending == ["dnsrecord shop-record: would be updated (content)"]


def test_a_known_finding_and_what_follows_from_it_are_reported_once():
    after = record({"to": "name-1"}, urn=f"{RECORD}-2", dependencies=frozenset({URN}))
    further = record({"to": "x"}, urn=f"{RECORD}-3", dependencies=frozenset({after.urn}))
    said = [declared(), after, further]
    steps = [
        step("replace", urn=URN, inputs=dict(declared().inputs)),
        step("replace", urn=after.urn, inputs={"to": "name-2"}),
        step("update", urn=further.urn, inputs={"to": pulumi_preview.UNKNOWN}),
    ]
    assert judged(*steps, declared_=said, known=(said[0].urn, URN)) == judged(declared_=said)


def test_a_component_cannot_drift():
    urn = "urn:pulumi:dev::dockyard::dockyard:app:App::shop-app"
    assert judged(step("update", urn=urn), declared_=[]) == ([], [])


def test_a_failed_preview_gives_its_reason_and_no_state():
    diagnostic = {"severity": "error", "message": "no such key\n"}
    said = json.dumps({"steps": [{"secret": "hunter2"}], "diagnostics": [diagnostic]})

    def read(*_: str):
        raise subprocess.CalledProcessError(255, ["pulumi"], output=said, stderr="error: preview failed")

    assert pulumi_preview.preview(SimpleNamespace(read=read)).problem == "no such key"


def finding(repair_: Repair, urn: str = URN, **more) -> Finding:
    return Finding(urn_label(urn), "field", "a", "b", repair_, urn, **more)


def test_a_repair_names_what_pulumi_does_not_see_and_its_dependents():
    plan = repair.plan(
        [
            finding(Repair.UPDATE, "urn:x::t::a"),
            finding(Repair.REPLACE, "urn:x::t::b"),
            finding(Repair.REPLACE, "urn:x::t::b"),
            finding(Repair.REWRITE, "urn:x::t::c", also_replace=("urn:x::t::d",)),
            finding(Repair.RECREATE, "urn:x::t::e", container_id="other-id"),
            Finding("container x", "container", "none", "there", Repair.MANUAL),
        ]
    )
    assert plan.targets == ["urn:x::t::a", "urn:x::t::e", "urn:x::t::b", "urn:x::t::c", "urn:x::t::d"]
    assert plan.replaced == ["urn:x::t::b", "urn:x::t::c", "urn:x::t::d"]
    assert [one.container_id for one in plan.removed] == ["other-id"]
    assert {"--refresh", "--target-dependents", "--target=urn:x::t::a", "--replace=urn:x::t::b"} <= set(plan.arguments)
    assert "--replace=urn:x::t::a" not in plan.arguments


def test_a_replaced_container_is_only_unpaused_first():
    both = [finding(Repair.REPLACE), finding(Repair.RENAME), finding(Repair.UNPAUSE)]
    assert [finding.repair for finding in repair.plan(both).in_place] == [Repair.UNPAUSE]
    assert [finding.repair for finding in repair.plan(both[1:]).in_place] == [Repair.RENAME, Repair.UNPAUSE]


def test_lost_data_keep_repairs_away_that_would_start_what_stands_on_them():
    lost = only({"labels": DATA}, kind=VOLUME, name="data", id="data-1")
    below = only({}, kind=NETWORK, name="app", id="app-1")
    mount = {"mounts": [{"type": "volume", "source": "data-1", "target": "/data"}]}
    store = declared(mount, name="postgres", dependencies=frozenset({below.urn}))
    gone = [
        finding(Repair.UPDATE, below.urn),
        finding(Repair.REWRITE, also_replace=(store.urn,)),
        finding(Repair.UNPAUSE),
    ]
    kept = repair.guarded([next(resources.volume(lost, {})), *gone], [below, lost, store, declared()])
    assert [one.repair for one in kept] == [Repair.MANUAL] * 3 + [Repair.UNPAUSE]
    assert "postgres, whose data are lost" in kept[1].remedy
    assert repair.guarded(gone, [below, store, declared()]) == gone


def test_a_container_that_is_gone_by_now_stops_no_repair(docker, progress, printed):
    plan = repair.plan([finding(Repair.UNPAUSE), finding(Repair.RECREATE, container_id="x")])
    repair_in_place(plan, [declared()], docker, progress)
    assert printed.getvalue() == "  ! container shop-app-web: already gone\n"


def report(**more) -> DriftReport:
    return DriftReport("dev", 52, datetime(2026, 11, 21, tzinfo=UTC), 4.2, **more)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({}, 0),
        ({"pending": ["x"]}, 0),
        ({"findings": [finding(Repair.UPDATE)]}, 1),
        ({"unknown": ["why"]}, 2),
        ({"findings": [finding(Repair.UPDATE)], "unknown": ["why"]}, 1),
    ],
)
def test_the_exit_code_is_1_for_drift_and_2_for_an_incomplete_comparison(more, code):
    assert report(**more).code == code
    assert json.loads(report(**more).as_json())["exit_code"] == code


def test_every_key_of_the_json_is_documented_and_no_other():
    said = json.loads(report(findings=[finding(Repair.UPDATE)]).as_json())
    text = (SOURCE / "docs/drift.md").read_text().partition("## JSON output")[2]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", text.partition("\n## ")[0], re.MULTILINE))
    assert {*rows} == {*said}
    assert {*re.findall(r"`(\w+)`", rows["findings"])} == {*said["findings"][0]}


def test_a_finding_is_one_line_with_both_values_and_the_repair():
    lines = list(report(findings=[finding(Repair.REPLACE), finding(Repair.UNPAUSE)]).lines())
    assert lines[0] == "dev: 1 resource is not as declared (52 compared in 4.2 s)"
    assert lines[1] == "  container shop-app-web: field: declared a, found b → --fix: replaced by a targeted up"
    assert len(lines) == 3


def test_declared_resources_are_read_from_the_state_with_secrets_marked():
    secret = {MARK: MARKED_SECRET, "plaintext": '[{"file": "/x", "content": "hunter2", "__defaults": []}]'}
    resource = {"urn": URN, "type": "docker:index/container:Container", "custom": True, "id": ID}
    state = states.state(
        *(
            {**resource, "inputs": {"uploads": secret, "__defaults": ["x"]}, "delete": True},
            {"urn": "urn:x::pulumi:providers:docker::d", "type": "pulumi:providers:docker", "custom": True, "id": "1"},
            {"urn": "urn:x::dockyard:a:B::c", "type": "dockyard:a:B", "custom": False},
        )
    )
    (said,) = state.declared
    assert said.inputs == {"uploads": [{"file": "/x", "content": "hunter2"}]}
    assert isinstance(said.inputs["uploads"][0]["content"], Secret)
    assert said.pending_delete
