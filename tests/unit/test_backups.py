"""What a stack's backups are made of, and what is not made where there are none."""

import re

import pulumi
import pytest

from components.app.services import AppServices
from components.backups.restic import BackupSet
from components.monitoring.stack import MonitoringStack
from runtime.textfile import metrics_folder
from settings.backups import DRILL_SCHEDULE, Backups
from settings.loader import known_secrets
from settings.monitoring import Monitoring
from settings.problems import SettingsError
from settings.product import Product
from tests.support.component_stage import NO_CONTENT
from tests.support.recording import record

S3 = {"endpoint": "https://s3.example.com", "bucket": "shop-backups", "access_key": "s3-id", "secret_key": "s3-key"}
STORES = {"postgres": {"database": "shop", "user": "shop"}, "redis": {}}
SECRETS = {"s3-id": "AKIA-THE-ID", "s3-key": "the-secret-access-key"}
ROLES = ("postgres", "redis", "monitoring")


@pytest.fixture
def stack(make_context):
    def build_stack(backups=None, stores=STORES, protects=False, secrets=SECRETS):
        product = Product.model_validate(
            {
                "name": "shop",
                "services": {"api": {"image": "registry/api:1", "health": {"command": ["true"]}}},
                "backups": {"enabled": True, **(backups or {})},
                **stores,
            }
        )

        def program():
            metrics = metrics_folder("metrics", "busybox", make_context())
            context = make_context(metrics=metrics, protects_data=protects, image=lambda name: f"image/{name}:1")
            app = AppServices("app", context, product=product, edge=None)
            inputs = {**NO_CONTENT, "snapshots": product.backups.on}
            monitoring = MonitoringStack("m", context, monitoring=Monitoring(), **inputs)
            made = BackupSet("b", context, product=product, connections=app.connections, monitoring=monitoring)
            pulumi.export("secrets", made.secrets)

        return record(program, stack="staging", secrets=secrets)

    return build_stack


class TestPresence:
    @pytest.mark.parametrize("stores", [{}, {"postgres": {"external": {"dsn": "their-dsn"}}}])
    def test_what_is_not_the_products_own_is_not_backed_up(self, stack, stores):
        world = stack(stores=stores, secrets={**SECRETS, "their-dsn": "postgresql://a:b@host/c"})
        assert "b-monitoring" in world
        assert "b-postgres" not in world
        assert "b-redis" not in world

    def test_nothing_at_all_is_made_where_there_is_nothing_to_keep(self, stack):
        without_monitoring = stack({"monitoring": False})
        assert "b-postgres" in without_monitoring and "b-monitoring" not in without_monitoring
        world = stack({"monitoring": False}, stores={})
        assert [one.name for one in world.resources if one.name.startswith("b-")] == []


class TestContainers:
    def test_each_runs_its_script_on_the_schedule(self, stack):
        world = stack({"schedule": "30 04 * * *"})
        for role in ROLES:
            command = world[f"b-{role}"].inputs["command"]
            assert command[1:] == ["30 4 * * *", "--", "/bin/sh", f"/run/backup/backup-{role}.sh"]

    def test_drills_have_a_clock_of_their_own_where_the_settings_say_so(self, stack):
        drill = {"schedule": "45 03 * * 7", "rto": "5m", "checks": {"orders": "select true"}}
        world = stack({"drill": drill})
        envs = world["b-postgres"].inputs["envs"]
        assert "DRILL_SCHEDULE=45 3 * * 7" in envs
        assert "DRILL_RTO=300" in envs
        assert "select true\n" in [
            text for path, text in world["b-postgres-files-writer"].files.items() if path.endswith("/checks/orders.sql")
        ]

    @pytest.mark.parametrize("protects", [True, False])
    def test_the_repositories_are_data_and_kept_as_such(self, stack, protects):
        world = stack(protects=protects)
        volume = world["b-data"]
        assert volume.label("dockyard.volume") == "data"
        assert (volume.protect, volume.retain_on_delete) == (protects, protects)
        assert {world[name].label("dockyard.volume") for name in ("b-tools", "b-scratch")} == {"config"}

    def test_what_is_kept_is_told_in_restics_words(self, stack):
        env = stack({"keep": {"daily": 3, "weekly": 0}})["b-postgres"].env
        assert env["BACKUP_KEEP"] == "--keep-daily 3 --keep-monthly 6"
        assert env["RESTIC_REPOSITORY"] == "/backups/postgres"


class TestSecrets:
    def test_the_key_is_generated_and_stands_in_files_alone(self, stack):
        world = stack({"s3": S3})
        key = "generated-b-backup-key"
        for role in ROLES:
            assert world[f"b-{role}-files-writer"].files["/dockyard/files/backup-key"] == key
        for one in world.containers:
            shown = str({name: value for name, value in one.inputs.items() if name != "uploads"})
            for secret in (key, *SECRETS.values()):
                assert secret not in shown, one.name

    def test_a_key_that_is_given_is_taken(self, stack):
        world = stack(secrets={**SECRETS, "backup-key": "my own"})
        assert world["b-postgres-files-writer"].files["/dockyard/files/backup-key"] == "my own"
        assert "b-backup-key" not in world

    def test_each_stack_has_a_folder_of_its_own_in_the_bucket(self, stack):
        env = stack({"s3": {**S3, "region": "eu-west-3"}})["b-postgres"].env
        assert env["BACKUP_S3_REPOSITORY"] == "s3:https://s3.example.com/shop-backups/shop/staging/postgres"
        assert env["AWS_DEFAULT_REGION"] == "eu-west-3"
        given = stack({"s3": {**S3, "prefix": "a/b"}})["b-postgres"].env
        assert given["BACKUP_S3_REPOSITORY"] == "s3:https://s3.example.com/shop-backups/a/b/postgres"
        assert "AWS_DEFAULT_REGION" not in given


class TestSettings:
    @pytest.mark.parametrize(
        ("said", "environment", "on", "drill"),
        [
            ({}, "development", False, None),
            ({}, "staging", True, None),
            ({}, "production", True, DRILL_SCHEDULE),
            ({"enabled": True}, "development", True, None),
            ({"enabled": False}, "production", False, None),
        ],
    )
    def test_backups_are_on_where_it_matters_or_the_settings_say_so(self, said, environment, on, drill):
        backups = Backups(**said).in_environment(environment)
        assert (backups.on, backups.drill.schedule) == (on, drill)

    @pytest.mark.parametrize(
        ("said", "expected"),
        [
            ({"keep": {"daily": 0, "weekly": 0, "monthly": 0}}, "at least one backup to keep"),
            ({"s3": {**S3, "endpoint": "s3.example.com"}}, "backups.s3.endpoint"),
            ({"s3": {**S3, "endpoint": "https://s3.example.com/bucket"}}, "backups.s3.endpoint"),
            ({"s3": {**S3, "bucket": "Shop"}}, "backups.s3.bucket"),
            ({"schedule": "at night"}, "backups.schedule"),
            ({"s4": {}}, "backups.s4"),
        ],
    )
    def test_what_cannot_be_is_told(self, shop_settings, said, expected):
        with pytest.raises(SettingsError, match=re.escape(expected)):
            shop_settings(product={"backups": said})

    def test_keys_of_s3_must_be_given_where_backups_are_on(self, shop_settings):
        with pytest.raises(SettingsError, match=re.escape("backups.s3.access_key")):
            shop_settings(product={"backups": {"enabled": True, "s3": S3}})
        off = shop_settings(product={"backups": {"enabled": False, "s3": S3}})
        assert "s3-id" not in known_secrets(off.stack, off.product)

    def test_restic_is_fetched_only_where_it_runs(self, shop_settings):
        assert "restic" in shop_settings(product={"backups": {"enabled": True}}).image_names
        assert "restic" not in shop_settings(product={"backups": {"enabled": False}}).image_names
