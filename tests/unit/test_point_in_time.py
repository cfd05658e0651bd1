"""Base backups and the log's archive: what is made, what is refused, and what the scripts say of a backup."""

import json
import os
import subprocess

import pytest
import yaml
from pydantic import ValidationError

from components.app.services import AppServices
from components.stores.pgbackrest import SOURCES
from runtime.shell import script
from settings.product import Product
from tests.support.recording import record
from tests.support.shells import shells

PRODUCT = """
name: shop
services: {api: {image: "registry/api:1", needs: [postgres], health: {command: ["true"]}}}
postgres:
  database: shop
  user: shop_user
  shared_buffers: 256MB
  limits: {memory: 1GB}
"""
ON = PRODUCT + "  point_in_time: {archive_timeout: 30s, keep: 14d}\n"
S3 = """
backups:
  enabled: true
  s3: {endpoint: 'https://s3.test:9000', bucket: kept, access_key: key-id, secret_key: key}
"""
BACKUP, WRITER = "shop-app-postgres-backup-pgbackrest", "shop-app-postgres-pgbackrest-writer"
GIVEN = {"point-in-time-key": "hush", "key-id": "AKIA", "key": "more-hush"}


@pytest.fixture
def app(make_context):
    def build_app(text: str = ON, **context):
        def program():
            product = Product.model_validate(yaml.safe_load(text))
            product = product.model_copy(update={"backups": product.backups.in_environment("production")})
            made = make_context(image=lambda name: f"image-of-{name}", **context)
            AppServices("shop-app", made, product=product, edge=None)

        return record(program, secrets=GIVEN)

    return build_app


def targets(made) -> dict[str, bool]:
    """Folder → whether it is mounted read-only."""
    return {one["target"]: one["readOnly"] for one in made.inputs["mounts"]}


def conf(world) -> str:
    return next(text for path, text in world[WRITER].files.items() if path.endswith("/pgbackrest.conf"))


def test_the_repository_is_a_data_volume_that_outlives_the_stack(app):
    volume = app(protects_data=True)["shop-app-postgres-base-backups"]
    assert volume.label("dockyard.volume") == "data"
    assert volume.protect and volume.retain_on_delete


def test_the_backup_can_write_everything_but_the_database(app):
    backup = app()[BACKUP]
    assert backup.inputs["user"] == "999:999"
    writable = {folder for folder, read_only in targets(backup).items() if not read_only}
    assert targets(backup)["/var/lib/postgresql/data"] is True
    assert {"/var/lib/pgbackrest", "/var/lib/pgbackrest-scratch", "/var/run/postgresql"} <= writable
    assert "ports" not in backup.inputs and backup.inputs["readOnly"] is True
    assert backup.delete_before_replace, "two would back up at once"
    assert "shop-app-postgres" in backup.depends_on


def test_the_passphrase_stands_in_a_file_of_mode_0400_and_nowhere_else(app):
    world = app()
    assert "repo1-cipher-type=aes-256-cbc" in conf(world) and "repo1-cipher-pass=hush\n" in conf(world)
    assert "uploads" in {path.split("[")[0] for path in world[WRITER].secrets}
    for one in world.resources:
        plain = {key: value for key, value in one.inputs.items() if key != "uploads"}
        assert "hush" not in json.dumps(plain), one.name


def test_a_second_repository_is_in_s3_where_backups_go_there(app):
    world = app(ON + S3)
    said = conf(world)
    assert "repo2-s3-endpoint=s3.test\nrepo2-storage-port=9000\n" in said
    assert "repo2-cipher-type=aes-256-cbc" in said and "repo2-s3-key-secret=more-hush" in said
    assert world[BACKUP].env["REPOSITORIES"] == "1 2"


@pytest.mark.parametrize("text", [ON, ON.replace("keep: 14d", "offsite: false") + S3])
def test_a_second_repository_is_only_made_where_it_is_wanted(app, text):
    world = app(text)
    assert "repo2" not in conf(world)
    assert world[BACKUP].env["REPOSITORIES"] == "1"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"wal_retention": "7d", "point_in_time": {}}, "wal_retention or point_in_time, not both"),
        ({"settings": {"archive_command": "true"}, "point_in_time": {}}, "settings without archive_command"),
        ({"point_in_time": {"archive_timeout": "6m"}}, "less than or equal to 300"),
        ({"point_in_time": {"keep": "36h"}}, "multiple of 86400"),
        ({"point_in_time": {"schedule": "yearly"}}, "five fields of cron"),
    ],
)
def test_contradictory_settings_are_refused(change, told):
    said = yaml.safe_load(PRODUCT)
    said["postgres"] |= change
    with pytest.raises(ValidationError, match=told):
        Product.model_validate(said)


PGBACKREST = """#!/bin/sh
echo "$@" >>"$TOLD"
case "$*" in
    *verify) cat "$FAULTS" ;;
    *backup) exit "$BACKUP" ;;
esac
"""
PSQL = """#!/bin/sh
case $(cat) in *label*) echo 20261121-000000F ;; *size*) echo 4096 ;; *) echo "$TYPE" ;; esac
"""
BROKEN = "stanza: main\nstatus: error\n  backup: x, status: invalid, total files checked: 2, total valid files: 1\n"


@pytest.fixture(params=shells().values(), ids=shells())
def backup(request, tmp_path):
    """Run base-backup.sh with a pgBackRest that does as it is told; return exit code, its commands and the metrics."""
    for name, text in {"pgbackrest": PGBACKREST, "psql": PSQL}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "base-backup.sh").write_text(script("base-backup.sh", SOURCES))
    (tmp_path / "restore-at.sh").write_text('echo "drill" >>"$TOLD"; exit "$DRILL"')

    def run(*arguments, faults="", code=0, kind="full", repositories="1", drill=0):
        (tmp_path / "faults").write_text(faults)
        told = tmp_path / "told"
        told.write_text("")
        env = {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "TOLD": str(told),
            "FAULTS": str(tmp_path / "faults"),
            "BACKUP": str(code),
            "TYPE": kind,
            "DRILL": str(drill),
            "REPOSITORY": str(tmp_path),
            "REPOSITORIES": repositories,
            "FULL_EVERY": "604800",
            "METRICS_FOLDER": str(tmp_path),
        }
        done = subprocess.run([*request.param, "base-backup.sh", *arguments], cwd=tmp_path, env=env, check=False)
        metrics = "".join(file.read_text() for file in sorted(tmp_path.glob("*.prom")))
        return done.returncode, told.read_text().splitlines(), metrics

    return run


GOOD = 'dockyard_backup_success{kind="scheduled",store="postgres-base"} 1'
BAD = 'dockyard_backup_success{kind="scheduled",store="postgres-base"} 0'


def test_a_backup_is_verified_before_older_ones_go(backup):
    code, told, metrics = backup()
    assert (code, [line.split()[-1] for line in told]) == (0, ["stanza-create", "backup", "verify", "expire", "drill"])
    assert "--no-expire-auto" in told[1]
    assert GOOD in metrics and 'dockyard_backup_size_bytes{kind="scheduled",store="postgres-base"} 4096' in metrics
    assert "dockyard_backup_last_verified_restore_timestamp_seconds" in metrics


def test_a_backup_that_cannot_be_verified_removes_nothing(backup):
    backup()
    code, told, metrics = backup(faults=BROKEN)
    assert code == 1
    assert not any(line.endswith(("expire", "drill")) for line in told)
    assert BAD in metrics
    assert "dockyard_backup_size_bytes" in metrics, "of the last good one"


def test_a_backup_that_fails_removes_nothing(backup):
    code, told, metrics = backup(code=56)
    assert (code, [line.split()[-1] for line in told]) == (1, ["stanza-create", "backup"])
    assert BAD in metrics and "last_success" not in metrics


def test_a_partial_backup_is_restored_where_the_last_restore_failed(backup):
    assert backup(kind="diff")[1][-1].endswith("expire")
    code, _, metrics = backup(drill=1)
    assert code == 1
    assert GOOD in metrics, "the backup itself is"
    assert backup(kind="diff")[1][-1] == "drill"
    assert backup(kind="diff")[1][-1].endswith("expire")


def test_the_copy_in_s3_has_a_metric_of_its_own(backup):
    _, told, metrics = backup(repositories="1 2")
    assert [line.split()[0] for line in told if line.endswith("backup")] == ["--repo=1", "--repo=2"]
    assert 'dockyard_backup_success{kind="offsite",store="postgres-base"} 1' in metrics


def test_a_first_backup_is_taken_only_where_there_is_none(backup):
    assert backup("--first", kind="diff") == (0, [], "")
    assert "--type=full" in " ".join(backup("--first", kind="none")[1])
