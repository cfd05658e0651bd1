"""The templates build for real, on the image kit's base images, and what they make runs as the stacks run it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from settings.build import Build
from settings.images import load_images
from tests.images.helpers import HARDENED, inside, once, running, wait_for
from tests.support.progress import Words
from toolchain.builds import KEPT, bases_of, ensure_built
from toolchain.images import ensure_images
from toolchain.package_sources import CA_FILE
from toolchain.progress import SetupError
from toolchain.registry import stop_registry
from toolchain.workdir import WorkDir

SOURCE = Path(__file__).resolve().parents[2]
APPS = SOURCE / "tests" / "live" / "apps"
PROMPTLY = 5.0
"""Seconds in which a container that heeds SIGTERM has ended, on a busy machine too."""

BUILDS = {
    "npm": {"template": "node-backend", "context": "adonis"},
    "pnpm": {
        "template": "node-backend",
        "context": "plain",
        "package_manager": "pnpm",
        "args": {"PORT": "3000", "USER_NAME": "nodeuser"},
    },
    "workspace": {
        "template": "node-backend",
        "context": "workspace",
        "package_manager": "pnpm",
        "args": {"PACKAGE": "@workspace/backend", "HEALTH": "wget -q -O /dev/null http://127.0.0.1:3333/"},
    },
    "nuxt": {"template": "nuxt", "context": "nuxt", "args": {"NUXT_SITE": "here"}},
    "static": {"template": "static", "context": "static", "args": {"VITE_API_URL": "/api", "PORT": "80"}},
    "bot": {"template": "python-bot", "context": "python"},
}
BACKENDS = ("npm", "pnpm", "workspace")
PORTS = {"npm": 3333, "pnpm": 3000, "workspace": 3333, "nuxt": 3000, "static": 80}
IN_MEMORY = {"/tmp": "rw,noexec,nosuid,nodev,size=16m"}

every_build = pytest.mark.parametrize("name", BUILDS)


@pytest.fixture(scope="module")
def engine(docker_host: str) -> docker.DockerClient:
    return docker.DockerClient(base_url=docker_host, timeout=300)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkDir]:
    """A checkout with official registries that nobody can reach."""
    work = WorkDir(tmp_path_factory.mktemp("builds"))
    (work.checkout / "templates").symlink_to(SOURCE / "templates")
    (work.checkout / "components").mkdir()
    shipped = (SOURCE / "components" / "images.yaml").read_text()
    (work.checkout / "components" / "images.yaml").write_text(shipped.replace("docker.io/", "127.0.0.1:9/"))
    yield work
    stop_registry(work, Words().progress)


@pytest.fixture(scope="module")
def bases(work: WorkDir, docker_host: str) -> Mapping[str, str]:
    return ensure_images(work, Words().progress, docker_host, ["node", "nginx", "python"], None)


def make(work: WorkDir, engine: docker.DockerClient, bases: Mapping[str, str], name: str, build: Build) -> str:
    known = load_images(work.checkout / "components" / "images.yaml").names
    asked = {base: bases[base] for base in bases_of(work.checkout, build, known)}
    return ensure_built(work, Words().progress, engine, f"test-{name}", build, asked)


@pytest.fixture(scope="module")
def built(work: WorkDir, engine: docker.DockerClient, bases: Mapping[str, str]) -> Mapping[str, str]:
    """Every sample application's image."""

    def one(name: str) -> str:
        said = {**BUILDS[name], "context": str(APPS / BUILDS[name]["context"])}
        return make(work, engine, bases, name, Build.model_validate(said))

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(BUILDS, pool.map(one, BUILDS), strict=True))


def started(engine: docker.DockerClient, image: str, **options):
    """Run a container as the stacks do, with the image's own health check asked every second."""
    return running(engine, image, tmpfs=IN_MEMORY, healthcheck={"interval": 1_000_000_000}, **options)


def healthy(container: Container) -> bool:
    container.reload()
    return container.attrs["State"]["Health"]["Status"] == "healthy"


def fetch(container: Container, port: int, path: str = "/") -> str:
    code, said = inside(container, f"wget -q -O - http://127.0.0.1:{port}{path}")
    assert code == 0, said
    return said


@every_build
def test_it_becomes_healthy_by_its_own_check_below_an_init_and_ends_when_it_is_told_to(built, engine, name: str):
    # A Node backend brings an init of its own; the others have Docker's, as in the stacks.
    with started(engine, built[name], init=name not in BACKENDS) as container:
        wait_for(lambda: healthy(container), container)
        assert inside(container, "cat /proc/1/comm")[1].strip() == ("dumb-init" if name in BACKENDS else "docker-init")
        assert inside(container, "id -u")[1].strip() == ("101" if name == "static" else "1001")
        assert inside(container, "touch /app/x || touch /etc/x")[0] != 0
        began = time.monotonic()
        container.stop(timeout=20)
        assert time.monotonic() - began < PROMPTLY
        container.reload()
        # 143: Nuxt's server leaves the signal to the system.
        assert container.attrs["State"]["ExitCode"] == (143 if name == "nuxt" else 0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("npm", {"number": True, "migrated": "yes", "mode": "production"}),
        ("pnpm", {"number": True}),
        ("workspace", {"number": True, "name": "workspace"}),
        ("nuxt", {"number": True, "site": "here"}),
    ],
)
def test_it_answers_with_its_packages_its_entry_point_and_its_builds_variables(built, engine, name: str, expected):
    with started(engine, built[name]) as container:
        wait_for(lambda: healthy(container), container)
        assert json.loads(fetch(container, PORTS[name])) == expected


def test_the_static_site_falls_back_to_its_page_and_tells_what_may_be_kept(built, engine):
    with started(engine, built["static"], init=True) as container:
        wait_for(lambda: healthy(container), container)
        assert fetch(container, 80, "/health") == "ok\n"
        assert fetch(container, 80, "/some/route") == fetch(container, 80) == "<p>true /api</p>\n"
        head = "wget -S -O /dev/null --header 'Accept-Encoding: gzip' http://127.0.0.1"
        asset = inside(container, f"{head}/assets/app-1a2b3c.js")[1].lower()
        assert "cache-control: public, max-age=31536000, immutable" in asset
        assert "content-encoding: gzip" in asset
        assert "cache-control: no-cache" in inside(container, f"{head}/")[1].lower()
        assert "404" in inside(container, f"{head}/assets/gone.js")[1]
        assert "GET /some/route" in container.logs().decode()


def test_the_bot_says_what_it_runs_with(built, engine):
    with started(engine, built["bot"]) as container:
        wait_for(lambda: "bot runs as 1001 with iniconfig" in container.logs().decode(), container)


@every_build
def test_no_image_carries_what_only_its_build_needed(built, engine, name: str):
    image = engine.images.get(built[name])
    told = json.dumps([image.attrs["Config"], image.history()])
    assert CA_FILE not in told
    assert "npm_config_registry" not in told
    assert "PIP_INDEX_URL" not in told
    # npm itself has an .npmrc; is-odd is a package that only the build needs.
    names = f"-name {CA_FILE} -o -name .npmrc -o -name is-odd -o -name .env"
    find = f"find / -xdev -path /usr/local/lib/node_modules -prune -o ( {names} ) -print"
    assert once(engine, built[name], *find.split(), entrypoint="", user="0:0") == (0, "")


def test_its_users_have_the_seeds_names(built, engine):
    assert once(engine, built["npm"], "id", "-un", entrypoint="")[1].strip() == "nodejs"
    assert once(engine, built["pnpm"], "id", "-un", entrypoint="")[1].strip() == "nodeuser"


def test_nothing_is_built_twice(built, work, engine, bases):
    build = Build(template="static", context=str(APPS / "static"), args={"VITE_API_URL": "/api", "PORT": "80"})
    assert make(work, engine, bases, "static", build) == built["static"]
    twin = make(work, engine, bases, "other", build)
    assert engine.images.get(twin).id == engine.images.get(built["static"]).id
    assert not (work.logs / "build-test-other.log").exists()


def test_a_build_that_fails_tells_its_last_lines_and_leaves_its_whole_output(work, engine, bases, tmp_path: Path):
    (tmp_path / "package.json").write_text('{"scripts": {"build": "echo what went wrong; exit 3"}}')
    with pytest.raises(SetupError) as raised:
        make(work, engine, bases, "failing", Build(template="nuxt", context=str(tmp_path)))
    assert "The image test-failing cannot be built" in raised.value.message
    assert "what went wrong" in raised.value.message
    log = work.logs / "build-test-failing.log"
    assert str(log) in raised.value.remedy
    assert "Step 1/" in log.read_text()


def test_the_last_builds_stay_and_older_ones_go_unless_a_container_uses_them(work, engine, bases, tmp_path: Path):
    (tmp_path / "Dockerfile").write_text('ARG PYTHON\nFROM ${PYTHON}\nCOPY version /version\nCMD ["sleep", "60"]\n')

    def release(version: int) -> str:
        (tmp_path / "version").write_text(str(version))
        return make(work, engine, bases, "many", Build(dockerfile="Dockerfile", context=str(tmp_path)))

    first = release(0)
    with running(engine, first, **{**HARDENED, "init": True}):
        tags = [first, *(release(version) for version in range(1, KEPT + 3))]
        there = {tag for image in engine.images.list(name="dockyard/test-many") for tag in image.tags}
    assert there == {first, *tags[-KEPT:]}
