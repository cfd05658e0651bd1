"""What a product file says of builds, what goes into them, and what the templates promise."""

import re
import tarfile
from pathlib import Path

import pytest
from pydantic import ValidationError

from machine.progress import SetupError
from settings.images import load_images
from settings.workload import Build
from toolchain import builds
from toolchain.package_sources import CA_FILE, PackageSources

CHECKOUT = Path(__file__).resolve().parents[2]
KNOWN = load_images(CHECKOUT / "components" / "images.yaml").names
TEMPLATES = {path.stem: path.read_text() for path in CHECKOUT.glob("templates/*.Dockerfile")}
SEED_CHECK = "HEALTHCHECK --interval=30s --timeout=10s --start-period=40s --retries=3"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A checkout with an application beside the templates."""
    (tmp_path / "templates").symlink_to(CHECKOUT / "templates")
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "package.json").write_text("{}")
    (folder / "server.js").write_text("1")
    return folder


def digest(app: Path, **changes) -> str:
    build = Build.model_validate({"template": "node-backend", "context": "app", **changes.pop("build", {})})
    bases = {"node": "docker.io/library/node:20@sha256:1", **changes}
    dockerfile = builds._dockerfile(app.parent, build)
    return builds._digest(dockerfile, app, builds._files(app, build), build, bases)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({}, "exactly one of template and dockerfile"),
        ({"template": "nuxt", "dockerfile": "Dockerfile"}, "exactly one of template and dockerfile"),
        # Nothing would ask it.
        ({"template": "python-bot", "package_manager": "pnpm"}, "no package_manager"),
        ({"dockerfile": "Dockerfile", "package_manager": "npm"}, "no package_manager"),
        # A package of a workspace needs pnpm.
        ({"template": "node-backend", "args": {"PACKAGE": "backend"}}, "which args.PACKAGE needs"),
        ({"template": "ruby"}, "'node-backend', 'nuxt', 'static' or 'python-bot'"),
        ({"template": "nuxt", "args": {"A-B": "1"}}, "pattern"),
    ],
)
def test_a_build_that_cannot_be_is_refused(said, told):
    with pytest.raises(ValidationError) as raised:
        Build.model_validate(said)
    assert told in str(raised.value)


def test_a_build_may_have_a_dockerfile_of_its_own():
    assert Build(dockerfile="apps/backend/Dockerfile", context="../..").template is None


def test_every_template_that_a_product_file_can_name_is_there_and_no_other():
    named = str(Build.model_fields["template"].annotation)
    assert set(re.findall(r"'([\w-]+)'", named)) == set(TEMPLATES) == set(builds.NEEDED)


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_a_template_asks_for_nothing_that_the_classic_builder_lacks(name: str):
    assert not re.search(r"--mount|--chmod|--link|<<|^# *syntax", TEMPLATES[name], re.MULTILINE)


def test_the_node_backend_has_tumultes_stages_and_health_check():
    text = TEMPLATES["node-backend"]
    stages = re.findall(r"^FROM .* AS (\S+)$", text, re.MULTILINE)
    assert [stage for stage in stages if stage != "init"] == ["deps", "builder", "prod-deps", "production"]
    assert f"{SEED_CHECK} CMD" in text
    assert 'HEALTH="node ace healthcheck"' in text
    assert SEED_CHECK in TEMPLATES["nuxt"]


def test_a_base_that_the_product_file_gives_itself_is_not_asked_for():
    build = Build(template="static", args={"NODE": "docker.io/library/node:22-alpine"})
    assert builds.bases_of(CHECKOUT, build, KNOWN) == ["nginx"]


def test_a_dockerfile_of_ones_own_gets_the_bases_that_it_declares(app: Path):
    def bases(text: str) -> list[str]:
        (app / "Dockerfile").write_text(text)
        return builds.bases_of(app.parent, Build(dockerfile="Dockerfile", context="app"), KNOWN)

    assert bases("ARG NODE=node:20-alpine\nFROM ${NODE} AS a\nARG PYTHON\nFROM --platform=linux/amd64 $PYTHON\n") == [
        "node",
        "python",
    ]
    assert bases("ARG NODE=20\nFROM node:${NODE}\nARG REDIS\n") == []


def test_the_digest_changes_with_all_that_goes_into_the_image(app: Path):
    changes = ({"args": {"PORT": "3000"}}, {"package_manager": "pnpm"}, {"target": "builder"})
    seen = {digest(app), *(digest(app, build=change) for change in changes)}
    seen.add(digest(app, node="docker.io/library/node:20@sha256:2"))
    (app / "server.js").write_text("2")
    seen.add(digest(app))
    (app / "server.js").chmod(0o755)
    seen.add(digest(app))
    (app / "server.js").rename(app / "main.js")
    seen.add(digest(app))
    assert len(seen) == 8


def test_the_digest_is_the_same_wherever_the_base_came_from_and_whatever_is_left_out(app: Path):
    before = digest(app)
    (app / "node_modules" / "left-pad").mkdir(parents=True)
    (app / "node_modules" / "left-pad" / "index.js").write_text("0")
    (app / ".env").write_text("SECRET=1")
    assert digest(app) == before
    assert digest(app, node="127.0.0.1:5000/library/node:20@sha256:1") == before


def test_dockerignore_holds_and_can_take_back_what_is_never_sent(app: Path):
    for name in (".env.example", ".env", "notes.md"):
        (app / name).write_text("x")
    (app / ".dockerignore").write_text("# people only\n*.md\n!.env.example\n")
    sent = builds._files(app, Build(template="node-backend", context="app"))
    assert sent == [".env.example", "package.json", "server.js"]


def test_files_are_packed_without_who_when_and_umask(app: Path):
    (app / "server.js").chmod(0o600)
    (app / "run.sh").write_text("#!/bin/sh\n")
    (app / "run.sh").chmod(0o700)
    files = {name: app / name for name in ("server.js", "run.sh")}
    with tarfile.open(fileobj=builds.pack_context(files, {"Dockerfile": "FROM scratch"})) as tar:
        packed = {entry.name: (oct(entry.mode), entry.uid, entry.mtime) for entry in tar}
    assert packed == {"server.js": ("0o644", 0, 0), "run.sh": ("0o755", 0, 0), "Dockerfile": ("0o644", 0, 0)}


def test_variables_of_a_build_are_declared_where_the_template_builds():
    text = builds._with_arguments(TEMPLATES["static"], {"VITE_API_URL": "/api", "PORT": "80"})
    assert text.index("ARG VITE_API_URL") < text.index("COPY . .")
    assert text.count("ARG PORT") == TEMPLATES["static"].count("ARG PORT")


def test_what_is_missing_is_told_before_anything_is_built(app: Path):
    with pytest.raises(SetupError, match=r"needs requirements.txt or pyproject.toml in .*app"):
        builds._context(app.parent, Build(template="python-bot", context="app"))
    with pytest.raises(SetupError, match=r"build context .*elsewhere does not exist"):
        builds._context(app.parent, Build(template="nuxt", context="elsewhere"))
    with pytest.raises(SetupError, match=r"Dockerfile .* does not exist"):
        builds._dockerfile(app.parent, Build(dockerfile="Dockerfile", context="app"))


def test_a_build_runs_in_the_machines_network_only_for_packages_from_its_loopback():
    def network(**addresses: str) -> str | None:
        return PackageSources(addresses, None).network

    assert network(npm_config_registry="http://127.0.0.1:4873/") == "host"
    assert network(PIP_INDEX_URL="http://localhost:3141/simple") == "host"
    assert network(npm_config_registry="https://packages.example.com/") is None
    assert network() is None


def test_a_dockerfile_is_told_of_package_sources_only_where_it_asks(tmp_path: Path):
    sources = PackageSources({"npm_config_registry": "https://packages.example.com/"}, tmp_path)
    told = sources.arguments(TEMPLATES["nuxt"])
    assert told["npm_config_registry"] == "https://packages.example.com/"
    assert told["NODE_EXTRA_CA_CERTS"] == f"/app/{CA_FILE}"
    assert "npm_config_registry" not in sources.arguments("FROM scratch\n")
    assert "PIP_CERT" not in told


def test_npm_and_pip_of_this_machine_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    bundle = tmp_path / "ca.pem"
    bundle.write_text("certificates")
    (tmp_path / ".npmrc").write_text("registry=https://packages.example.com/npm/\n")
    (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = https://packages.example.com/pip\ncert = {bundle}\n")
    given = "npm_config_registry PIP_INDEX_URL NODE_EXTRA_CA_CERTS PIP_CERT REQUESTS_CA_BUNDLE SSL_CERT_FILE"
    for name in given.split():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text('#!/bin/sh\n[ "$3" = registry ] && sed -n s/registry=//p .npmrc || echo null\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(npm.parent), prepend=":")
    found = PackageSources.read(tmp_path)
    assert found.addresses["npm_config_registry"] == "https://packages.example.com/npm/"
    assert found.addresses["PIP_INDEX_URL"] == "https://packages.example.com/pip"
    assert found.certificates == bundle
