"""The product itself: what a product file can say of a service, a job or a store, and what becomes of it."""

import pytest
import yaml

from components.app.services import AppServices
from components.edge.proxy import EdgeProxy
from components.edge.traefik import Upstream
from settings.edge import Edge
from settings.product import Product
from tests.support.recording import record


@pytest.fixture
def run(make_context):
    """A function that runs a product of one service or job `it`, and returns what was made and what is scraped."""

    def run_product(
        kind="services", release_is_pinned=False, exit_codes=None, more="", given=None, protects_data=False, **said
    ):
        whole = {"image": "registry/it:1", **said}
        if kind == "services":
            whole = {"health": {"command": ["true"]}, **whole}
        other = {"image": "registry/other:1", "health": {"command": ["true"]}}
        product = {"name": "shop", "services": {"other": other}, **yaml.safe_load(more or "{}")}
        product[kind] = {**product.get(kind, {}), "it": whole}
        targets = []

        def program():
            model = Product.model_validate(product)
            context = make_context(protects_data=protects_data)
            fronts = [Upstream(name, one.port) for name, one in model.services.items() if one.port]
            edge = EdgeProxy("edge", context, edge=Edge(), upstreams=fronts, ports={}) if fronts else None
            targets.extend(AppServices("app", context, product=model, edge=edge, skip_jobs=release_is_pinned).targets)

        world = record(program, exit_codes=exit_codes, secrets=given)
        world.targets = targets
        return world

    return run_product


POSTGRES = "postgres: {database: shop, user: shop, shared_buffers: 128MB, limits: {memory: 512MB}}"


def test_replicas_are_containers_of_their_own_that_the_edge_leads_to_together(run):
    world = run(port=8000, replicas=3, metrics="/metrics")
    roles = [made.label("dockyard.service") for made in world.containers if made.name.startswith("app-it")]
    # Pulumi registers them from several threads.
    assert sorted(roles) == ["it", "it-2", "it-3"]
    (text,) = world["edge-it-writer"].files.values()
    servers = yaml.safe_load(text)["http"]["services"]["it"]["loadBalancer"]["servers"]
    names = ("app-it-0a1b2c3", "app-it-2-0a1b2c3", "app-it-3-0a1b2c3")
    assert [server["url"] for server in servers] == [f"http://{name}:8000" for name in names]
    assert [target.instance for target in world.targets] == ["it:8000", "it-2:8000", "it-3:8000"]


def test_how_it_ends_and_starts_again_is_as_the_product_says(run):
    made = run(stop_signal="SIGQUIT", stop_grace="30s", restart="always")["app-it"].inputs
    assert (made["stopSignal"], made["stopTimeout"], made["destroyGraceSeconds"]) == ("SIGQUIT", 30, 30)
    assert made["restart"] == "always"


def test_an_optional_secret_arrives_where_it_is_given_and_is_never_made_up(run):
    assert run(optional_secrets=["sentry-dsn"])["app-it"].env == {}
    world = run(optional_secrets=["sentry-dsn"], given={"sentry-dsn": "https://key@sentry.example/1"})
    assert world["app-it"].env == {"SENTRY_DSN_FILE": "/run/secrets/sentry-dsn"}
    assert "app-sentry-dsn" not in world


def test_files_are_mounted_read_only_at_their_folders_and_other_content_is_another_container(run):
    files = {"/etc/it/a.conf": {"content": "a"}, "/etc/it/b.conf": {"content": "b"}, "/opt/c": {"content": "c"}}
    world = run(files=files)
    mounts = {mount["target"]: mount["readOnly"] for mount in world["app-it"].inputs["mounts"]}
    assert mounts == {"/etc/it": True, "/opt": True}
    assert world["app-it-files-writer"].files == {"/dockyard/files/a.conf": "a", "/dockyard/files/b.conf": "b"}
    assert world["app-it-files-2-writer"].files == {"/dockyard/files/c": "c"}
    changed = run(files={**files, "/opt/c": {"content": "d"}})
    assert world["app-it"].label("dockyard.content") != changed["app-it"].label("dockyard.content")


def test_a_scheduled_job_runs_by_the_clock_in_its_own_image_and_never_twice_at_once(run):
    world = run("jobs", schedule="0 3 * * *", command=["clean", "up"])
    made = world["app-it"]
    assert made.inputs["entrypoints"] == ["/bin/sh", "/run/secrets/schedule.sh"]
    assert made.inputs["command"] == ["0 3 * * *", "--", "clean", "up"]
    assert made.inputs["mustRun"] is True
    assert made.delete_before_replace
    assert made.inputs["healthcheck"]["tests"][-1] == "--health"


def test_a_dump_that_fails_stops_the_migration(run):
    with pytest.raises(Exception, match="dump-before-it ended with exit code 1"):
        run("jobs", needs=["postgres"], more=POSTGRES, exit_codes={"app-postgres-dump-before-it": 1})


@pytest.mark.parametrize("said", [{"dump_before": False}, {"schedule": "@daily", "command": ["x"]}])
def test_a_job_that_migrates_nothing_is_not_preceded_by_a_dump(said, run):
    world = run("jobs", needs=["postgres"], more=POSTGRES, **said)
    assert not [one for one in world.resources if "dump" in one.name]


def test_a_rollback_runs_no_job_again(run):
    world = run("jobs", needs=["postgres"], more=POSTGRES, release_is_pinned=True)
    for job in ("app-it", "app-postgres-dump-before-it"):
        assert {"image", "command", "envs", "entrypoints"} <= set(world[job].ignore_changes)
    assert "image" not in world["app-other"].ignore_changes


def test_a_database_that_somebody_else_runs_is_neither_made_nor_dumped(run):
    world = run("jobs", needs=["postgres"], more="postgres: {external: {dsn: shop-database}}")
    assert not [one for one in world.resources if "postgres" in one.name]
    assert world["app-it"].env == {"DATABASE_URL_FILE": "/run/secrets/database-url"}
    assert world["app-it"].inputs["hosts"] == [{"host": "host.docker.internal", "ip": "host-gateway"}]


def test_settings_of_the_product_file_reach_postgres(run):
    more = POSTGRES.replace("user: shop,", "user: shop, settings: {work_mem: 8MB},")
    assert "work_mem=8MB" in run(more=more)["app-postgres"].inputs["command"]


STORES = f"{POSTGRES}\nredis: {{}}"


def test_a_secret_that_is_configured_is_not_generated(run):
    world = run(
        needs=["postgres"], secrets=["app-key"], more=POSTGRES, given={"postgres-password": "mine", "app-key": "k"}
    )
    assert "app-postgres-password" not in world
    assert "app-app-key" not in world
    assert world["app-postgres-secrets-writer"].files["/dockyard/files/postgres-password"] == "mine"


def test_no_generated_or_given_secret_is_seen_outside_secret_inputs(run):
    world = run(needs=["postgres", "redis"], secrets=["app-key"], more=STORES, given={"app-key": "given-app-key"})
    for made in world.containers:
        plain = str({key: value for key, value in made.inputs.items() if key not in {"uploads", "labels"}})
        assert "generated-" not in plain and "given-app-key" not in plain, made.name
        for path in made.files:
            assert made.secrets, f"{path} of {made.name} is not marked secret"


@pytest.mark.parametrize("protects", [True, False])
def test_data_volumes_are_protected_outside_development(protects, run):
    world = run(more=STORES, protects_data=protects)
    for name in ("app-postgres-data", "app-redis-data"):
        assert (world[name].protect, world[name].retain_on_delete) == (protects, protects)
