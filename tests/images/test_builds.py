"""The templates build for real, on the image kit's base images, and what they make runs as the stacks run it."""

import json
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from machine.progress import SetupError
from machine.workdir import WorkDir
from settings.images import load_images
from settings.workload import Build
from tests.support.checkout import SOURCE
from tests.support.containers import inside, once, running, stop_and_exit_code, succeeded, wait_in
from tests.support.kit import KitImages
from tests.support.progress import Words
from toolchain.builds import BUILDS_KEPT, bases_of, ensure_built
from toolchain.package_sources import CA_FILE

APPS = Path(__file__).parent / "apps"

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

DAILY = ("npm", "static", "bot")  # one of each kind of template: all run in soak


def each(*names: str) -> list[object]:
    """Return parameters for applications, of which those that are built every day run every day."""
    return [pytest.param(name, marks=() if name in DAILY else pytest.mark.soak) for name in names]


every_build = pytest.mark.parametrize("name", each(*BUILDS))


class Builder(dict[str, str]):
    """Sample application → its image, which is built when a test first asks for it."""

    def __init__(self, work: WorkDir, engine: docker.DockerClient, kit: KitImages) -> None:
        super().__init__()
        self.work, self.engine, self.kit = work, engine, kit

    def __missing__(self, name: str) -> str:
        fields = {**BUILDS[name], "context": str(APPS / BUILDS[name]["context"])}
        self[name] = self.build(name, Build.model_validate(fields))
        return self[name]

    def build(self, name: str, build: Build) -> str:
        known = load_images(self.kit.work.checkout / "components" / "images.yaml").names
        bases = {base: self.kit[base] for base in bases_of(self.work.checkout, build, known)}
        return ensure_built(self.work, Words().progress, self.engine, f"test-{name}", build, bases)


@pytest.fixture(scope="module")
def built(engine: docker.DockerClient, kit: KitImages, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    work = WorkDir(tmp_path_factory.mktemp("builds"))
    (work.checkout / "templates").symlink_to(SOURCE / "templates")
    return Builder(work, engine, kit)


def started(engine: docker.DockerClient, image: str, **options):
    """Run a container as the stacks do, with the image's own health check asked every second."""
    return running(engine, image, tmpfs=IN_MEMORY, healthcheck={"interval": 1_000_000_000}, **options)


def healthy(container: Container) -> bool:
    container.reload()
    return container.attrs["State"]["Health"]["Status"] == "healthy"


def fetch(container: Container, port: int, path: str = "/") -> str:
    return succeeded(inside(container, f"wget -q -O - http://127.0.0.1:{port}{path}"))


@every_build
def test_it_becomes_healthy_by_its_own_check_below_an_init_and_ends_when_it_is_told_to(built, engine, name: str):
    # A Node backend brings an init of its own; the others have Docker's, as in the stacks.
    with started(engine, built[name], init=name not in BACKENDS) as container:
        wait_in(container, lambda: healthy(container), "it is healthy")
        assert inside(container, "cat /proc/1/comm")[1].strip() == ("dumb-init" if name in BACKENDS else "docker-init")
        assert inside(container, "id -u")[1].strip() == ("101" if name == "static" else "1001")
        assert inside(container, "touch /app/x || touch /etc/x")[0] != 0
        # 143: Nuxt's server leaves the signal to the system. 137 would be one that does not heed it.
        assert stop_and_exit_code(container) == (143 if name == "nuxt" else 0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("npm", {"number": True, "migrated": "yes", "mode": "production"}),
        pytest.param("pnpm", {"number": True}, marks=pytest.mark.soak),
        pytest.param("workspace", {"number": True, "name": "workspace"}, marks=pytest.mark.soak),
        pytest.param("nuxt", {"number": True, "site": "here"}, marks=pytest.mark.soak),
    ],
)
def test_it_answers_with_its_packages_its_entry_point_and_its_builds_variables(built, engine, name: str, expected):
    with started(engine, built[name]) as container:
        wait_in(container, lambda: healthy(container), "it is healthy")
        assert json.loads(fetch(container, PORTS[name])) == expected


def test_the_static_site_falls_back_to_its_page_and_tells_what_may_be_kept(built, engine):
    with started(engine, built["static"], init=True) as container:
        wait_in(container, lambda: healthy(container), "it is healthy")
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
        wait_in(container, lambda: b"bot runs as 1001 with iniconfig" in container.logs(), "the bot runs")


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


@pytest.mark.parametrize("name", each("npm", "pnpm"))
def test_a_backends_user_has_the_seeds_name(built, engine, name: str):
    expected = {"npm": "nodejs", "pnpm": "nodeuser"}[name]
    assert once(engine, built[name], "id", "-un", entrypoint="")[1].strip() == expected


def test_nothing_is_built_twice(built, engine):
    build = Build(template="static", context=str(APPS / "static"), args={"VITE_API_URL": "/api", "PORT": "80"})
    assert built["static"] == built.build("static", build)
    twin = built.build("other", build)
    assert engine.images.get(twin).id == engine.images.get(built["static"]).id
    assert not (built.work.logs / "build-test-other.log").exists()


def test_a_build_that_fails_shows_its_last_lines_and_leaves_its_whole_output(built, tmp_path: Path):
    (tmp_path / "package.json").write_text('{"scripts": {"build": "echo what went wrong; exit 3"}}')
    with pytest.raises(SetupError) as raised:
        built.build("failing", Build(template="nuxt", context=str(tmp_path)))
    assert "The image test-failing cannot be built" in raised.value.message
    assert "what went wrong" in raised.value.message
    log = built.work.logs / "build-test-failing.log"
    assert str(log) in raised.value.remedy
    assert "Step 1/" in log.read_text()


def test_the_last_builds_stay_and_older_ones_go_unless_a_container_uses_them(built, engine, tmp_path: Path):
    (tmp_path / "Dockerfile").write_text('ARG PYTHON\nFROM ${PYTHON}\nCOPY version /version\nCMD ["sleep", "60"]\n')

    def release(version: int) -> str:
        (tmp_path / "version").write_text(str(version))
        return str(built.build("many", Build(dockerfile="Dockerfile", context=str(tmp_path))))

    first = release(0)
    with running(engine, first, init=True):
        tags = [first, *(release(version) for version in range(1, BUILDS_KEPT + 3))]
        there = {tag for image in engine.images.list(name="dockyard/test-many") for tag in image.tags}
    assert there == {first, *tags[-BUILDS_KEPT:]}
