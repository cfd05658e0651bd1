"""Files in configuration volumes are compared with what the writers' scripts say, as the components render them."""

import io
import tarfile

import pytest

from ops.drift.docker import files
from ops.drift.findings import Repair
from runtime.config_files import _script, pack
from runtime.manifest import TARGET, StagedFiles, script_digest
from runtime.pulumi_state import VOLUME, Secret
from settings.names import PACKED, STAGE
from tests.support.drift import declared
from tests.support.fake_docker import FakeDocker

WRITER, READER = "writer-id", "reader-id"
EARLIER, STARTED, LATER = 100, 200, 300
PLAIN = {"prometheus.yml": b"global: {}\n", "rules/host.yml": b"groups: []\n", "board.json": b"{}"}


def writer(inputs=None, **more):
    """Return a writer of two plain files, a packed one and a secret; `inputs` go over its own."""
    contents = {"prometheus.yml": "global: {}\n", "rules/host.yml": "groups: []\n", "pass word": Secret("hunter2")}
    uploads = [{"file": f"{STAGE}/{path}", "content": content} for path, content in contents.items()]
    paths = ["board.json", "pass word", "prometheus.yml", "rules/host.yml"]
    own = {
        "mustRun": False,
        "command": [_script(paths, "65534:grafana", "true", None, unpack=True)],
        "uploads": [*uploads, {"file": PACKED, "content": pack({"board.json": "{}"})}],
        "mounts": [{"type": "volume", "source": "config-1", "target": TARGET}],
    }
    return declared({**own, **(inputs or {})}, **{"name": "config-writer", "id": WRITER, **more})


def volume():
    return declared({}, name="config", kind=VOLUME, id="config-1")


def reader():
    labels = [{"label": "dockyard.content", "value": "aa"}]
    mounts = [{"type": "volume", "source": "config-1", "target": "/etc/x"}]
    return declared({"labels": labels, "mounts": mounts}, name="reader", id=READER)


def entry(content: bytes = b"", mode: int = 0o400, owner=(65534, 472), changed: int = EARLIER, **more):
    return {"content": content, "mode": mode, "owner": owner, "changed": changed, **more}


def folder(mode: int = 0o755, owner: tuple[int, int] = (0, 0), changed: int = EARLIER):
    return entry(mode=mode, owner=owner, changed=changed, type=tarfile.DIRTYPE)


def as_written() -> dict:
    said = {name: entry(content) for name, content in {**PLAIN, "pass word": b"hunter2"}.items()}
    return {"": folder(), "rules": folder(), **said}


def packed(root: str, entries: dict) -> bytes:
    """Return the archive that an engine makes of a folder."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, values in entries.items():
            member = tarfile.TarInfo(f"{root}/{path}".rstrip("/"))
            member.mode, (member.uid, member.gid), member.mtime = values["mode"], values["owner"], values["changed"]
            member.type, member.size = values.get("type", tarfile.REGTYPE), len(values["content"])
            tar.addfile(member, io.BytesIO(values["content"]))
    return archive.getvalue()


def manifest(*writers, **staged) -> dict:
    """Return the manifest of these writers, of which the program says the same."""
    entry = StagedFiles({}, **{"owner": "65534:grafana", **staged}).manifest()
    return {script_digest(each.inputs["command"][0]): entry for each in writers}


def engine_with(container: str, volume: str, target: str, entries: dict) -> FakeDocker:
    """Return an engine with a container that has a volume with these entries; without any, it cannot be read."""
    docker = FakeDocker()
    docker.add_container(container, status="exited", volumes={volume: target})
    docker.api.archives[container, "/etc/group"] = packed("group", {"": entry(b"root:x:0:\ngrafana:x:472:\n")})
    if entries:
        docker.api.archives[container, target] = packed(target.rsplit("/", 1)[-1], entries)
    return docker


def findings(entries: dict, docker: FakeDocker | None = None) -> dict:
    docker = docker or engine_with(WRITER, "config-1", TARGET, entries)
    (filled,), _ = files.volumes([volume(), writer(), reader()], manifest(writer()))
    found = files.compare(filled, docker, docker.api.containers(all=True), {READER: STARTED})
    return {finding.field: finding for finding in found}


def test_an_unchanged_volume_has_no_finding():
    assert findings(as_written()) == {}


@pytest.mark.parametrize(
    ("path", "is_now", "field"),
    # Beside those that tests/products/test_drift.py changes in volumes of a stack.
    [
        ("board.json", entry(b"{} "), "files/board.json"),
        ("board.json", entry(b"{}", owner=(65534, 0)), "files/board.json owner"),
        ("board.json", entry(type=tarfile.SYMTYPE), "files/board.json"),
        ("rules", folder(owner=(1, 1)), "files/rules owner"),
    ],
)
def test_a_difference_is_named_and_nothing_else(path, is_now, field):
    assert set(findings({**as_written(), path: is_now})) == {field}


def test_a_file_is_rewritten_and_what_a_writer_does_not_touch_goes_with_the_volume():
    entries = {**as_written(), "board.json": entry(b"x"), "more": entry(b"x"), "link": entry(type=tarfile.SYMTYPE)}
    found = findings(entries)
    assert {name: one.repair for name, one in found.items()} == {
        "files/board.json": Repair.REWRITE,
        "files/more": Repair.REWRITE,
        "files/link": Repair.REPLACE,
    }
    assert found["files/board.json"].urn == writer().urn
    assert found["files/link"].urn == volume().urn


@pytest.mark.parametrize(("changed", "replaced"), [(EARLIER, True), (STARTED, True), (LATER, False)])
def test_a_reader_that_started_after_a_change_is_replaced_too(changed, replaced):
    found = findings({**as_written(), "board.json": entry(b"x", changed=changed)})
    assert found["files/board.json"].also_replace == ((reader().urn,) if replaced else ())


def test_a_changed_mode_replaces_no_reader():
    found = findings({**as_written(), "board.json": entry(b"{}", mode=0o444)})
    assert found["files/board.json mode"].also_replace == ()


def test_a_secret_is_reported_without_its_hash():
    found = findings({**as_written(), "pass word": entry(b"other")})["files/pass word"]
    assert (found.declared, found.actual) == ("(secret)", "content differs")
    assert "sha256" in findings({**as_written(), "board.json": entry(b"x")})["files/board.json"].actual


def test_the_volume_of_a_writer_that_is_gone_is_read_through_another_container():
    docker = engine_with(READER, "config-1", "/etc/x", as_written())
    assert findings({}, docker) == {}
    assert docker.api.archives_read[0] == (READER, "/etc/x")


@pytest.mark.parametrize("docker", [FakeDocker(), engine_with(WRITER, "config-1", TARGET, {})])
def test_a_volume_that_no_container_can_read_has_no_finding(docker):
    assert findings({}, docker) == {}


def test_several_writers_fill_one_volume():
    """A folder of it, and leaving the file before behind where the proxy does not run."""
    writers = [
        writer({"command": [name], "uploads": [{"file": f"{STAGE}/{name}.yml", "content": name}]}, name=name, id=name)
        for name in ("fixed", "web")
    ]
    (filled,), _ = files.volumes(
        [volume(), *writers], manifest(*writers, owner="65532", folder="dynamic", leftovers=(".web.before",))
    )
    entries = {
        **dict.fromkeys(("", "dynamic"), folder()),
        "dynamic/fixed.yml": entry(b"fixed", owner=(65532, 5)),
        "dynamic/web.yml": entry(b"edited", owner=(65532, 0)),
        ".web.before": entry(b"older"),
    }
    docker = engine_with("web", "config-1", TARGET, entries)
    (found,) = files.compare(filled, docker, docker.api.containers(all=True), {})
    assert (found.field, found.urn) == ("files/dynamic/web.yml", writers[1].urn)


def test_a_writer_that_waits_for_its_deletion_declares_nothing():
    assert files.volumes([volume(), writer(pending_delete=True)], {}) == ([], [])


def test_a_volume_whose_writer_recorded_no_manifest_is_unknown():
    assert files.volumes([volume(), writer()], {"of another script": {}}) == ([], ["container shop-app-config"])
