"""Build a product's own images on the machine that runs them, from a template or from the product's Dockerfile."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import tempfile
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import docker
from docker.errors import APIError, ImageNotFound
from docker.utils.build import exclude_paths
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from machine.processes import ended_by
from machine.progress import Progress, SetupError, Step
from machine.workdir import WorkDir
from settings.workload import Build
from toolchain.package_sources import CA_FILE, PackageSources

BUILDS_KEPT = 5
"""Number of builds per service that stay in Docker, so that a rollback finds them."""

NEEDED = {
    "node-backend": ["package.json"],
    "nuxt": ["package.json"],
    "static": ["package.json", "index.html"],
    "python-bot": ["requirements.txt", "pyproject.toml"],
}
"""Template → files of which its build context must contain at least one."""

NEVER_SENT = [".dockyard", "**/.git", "**/node_modules", "**/__pycache__", "**/.venv", "**/.env", "**/.env.*"]
"""Patterns excluded from a template's build context, secrets above all; a `!` in .dockerignore includes one again."""

_DOCKERFILE = ".dockyard.Dockerfile"
_FROM_ARGUMENT = re.compile(r"^\s*FROM\s+(?:--\S+\s+)?\$\{?(\w+)\}?(?=\s|$)", re.MULTILINE | re.IGNORECASE)
_EXIT_CODE = re.compile(r"returned a non-zero code: (\d+)")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LAST_LINES = 12
"""Number of output lines that the error of a failed build repeats."""


def ensure_built(
    work: WorkDir, progress: Progress, client: docker.DockerClient, name: str, build: Build, bases: Mapping[str, str]
) -> str:
    """Build a product's image unless it exists, and return its tag: `dockyard/<name>:<digest of its inputs>`.

    `bases` maps the names of its base images in components/images.yaml to references, see `bases_of`.
    Raises SetupError when a file is missing, or with the last output lines of a failed build.
    """
    dockerfile = _dockerfile(work.checkout, build)
    context = _context(work.checkout, build)
    files = _files(context, build)
    digest = _digest(dockerfile, context, files, build, bases)
    tag = f"dockyard/{name}:{digest}"
    if has_image(client, tag):
        return tag
    if twin := client.images.list(filters={"reference": f"dockyard/*:{digest}"}):
        # For example, a migration job and its service are built from the same folder.
        twin[0].tag(tag)
        return tag
    with progress.step(f"Image {name}") as step:
        sources = PackageSources.read(context)
        arguments = {**sources.arguments(dockerfile), **_arguments(build, bases)}
        extra = {_DOCKERFILE: _with_arguments(dockerfile, arguments)}
        if build.template and sources.certificates:
            extra[CA_FILE] = sources.certificates.read_text()
        archive = pack_context({path: context / path for path in files}, extra)
        options = {"buildargs": arguments, "target": build.target or "", "network_mode": sources.network}
        log = work.logs / f"build-{name}.log"
        run_build(client, step, name, tag, archive, log, dockerfile=_DOCKERFILE, **options)
    _forget_old(client, name)
    return tag


def bases_of(checkout: Path, build: Build, image_names: Iterable[str]) -> list[str]:
    """Return the images of components/images.yaml that a build uses as base: its Dockerfile has an ARG for each.

    `ARG NODE` with `FROM ${NODE}` requests `node`. Arguments that the product file sets itself are left out.
    Raises SetupError when the Dockerfile does not exist.
    """
    text = _dockerfile(checkout, build)
    base_arguments = (_declared(text) & set(_FROM_ARGUMENT.findall(text))) - build.args.keys()
    return sorted(name for name in image_names if _argument(name) in base_arguments)


def has_image(client: docker.DockerClient, tag: str) -> bool:
    """Tell whether Docker has an image with this tag."""
    try:
        client.images.get(tag)
    except ImageNotFound:
        return False
    return True


def run_build(
    client: docker.DockerClient, step: Step, name: str, tag: str, context: IO[bytes], log: Path, **options: Any
) -> None:
    """Build an image from a packed context, announcing every command that runs; all output goes to the file `log`.

    Raises SetupError with the last output lines of a failed build, or with the cause of an interruption.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    last: deque[str] = deque(maxlen=_LAST_LINES)
    command = stage = failure = ""
    try:
        with context, log.open("w") as output:
            events = client.api.build(
                fileobj=context, custom_context=True, tag=tag, rm=True, forcerm=True, decode=True, **options
            )
            for event in events:
                text = str(event.get("stream") or event.get("error") or "")
                output.write(text)
                failure = failure or str(event.get("error") or "")
                if text.startswith("Step ") and " : " in text:
                    command = text
                    stage = m[1] if (m := re.search(r" : FROM \S+ AS (\S+)", text, re.IGNORECASE)) else stage
                elif text.startswith(" ---> Running in") and " : RUN " in command:
                    step.say(f"{command.partition(' : ')[0].lower()}{' of ' * bool(stage)}{stage}")
                elif text.strip() and not text.startswith((" --->", "Removing intermediate")):
                    last += [line for line in _COLOURS.sub("", text).splitlines() if line.strip()]
    except APIError as error:
        failure = str(error.explanation or error)
    except (RequestException, HTTPError) as error:
        raise SetupError(
            f"The build of the image {name} was interrupted: the Docker engine disconnected ({type(error).__name__})",
            f"Run the same command again. The full output is in {log}",
        ) from error
    if (code := _EXIT_CODE.search(failure)) and (by := ended_by(int(code[1]))):
        raise SetupError(
            f"The build of the image {name} was interrupted: {by} ended {_short(command.partition(' : ')[2].strip())}",
            f"Run the same command again; it may have run out of memory. The full output is in {log}",
        )
    if failure or not has_image(client, tag):
        tail = "".join(f"\n      {line}" for line in last if line.strip() != failure.strip())
        raise SetupError(
            f"The image {name} cannot be built: {_short(failure.strip() or 'the engine created no image')}{tail}",
            f"The full output is in {log}",
        )
    step.outcome = f"built {tag}"


def pack_context(files: Mapping[str, Path], extra: Mapping[str, str]) -> IO[bytes]:
    """Pack a build context as a tar file: files under their names in the context, and `extra` texts.

    Owners, times and the checkout's umask are normalized, so that the build cache recognizes unchanged content.
    """
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, path in files.items():
            tar.add(path, arcname=name, recursive=False, filter=_plain)
        for name, text in extra.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            tar.addfile(_plain(entry), io.BytesIO(text.encode()))
    file.seek(0)
    return file


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    if not entry.issym():
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry


def _context(checkout: Path, build: Build) -> Path:
    context = (checkout / build.context).resolve()
    if not context.is_dir():
        raise SetupError(f"The build context {context} does not exist", "Correct `build.context` in the product file.")
    needed = NEEDED.get(build.template or "", [])
    if needed and not any((context / name).exists() for name in needed):
        raise SetupError(f"The template {build.template} needs {' or '.join(needed)} in {context}")
    return context


def _dockerfile(checkout: Path, build: Build) -> str:
    if build.template:
        return (checkout / "templates" / f"{build.template}.Dockerfile").read_text()
    file = (checkout / build.context / str(build.dockerfile)).resolve()
    if not file.is_file():
        raise SetupError(f"The Dockerfile {file} does not exist", "Correct `build.dockerfile` in the product file.")
    return file.read_text()


def _files(context: Path, build: Build) -> list[str]:
    """Return the files of a context to send to Docker, after applying its .dockerignore."""
    ignore = context / ".dockerignore"
    patterns = NEVER_SENT if build.template else NEVER_SENT[:1]
    ignore_lines = ignore.read_text().splitlines() if ignore.exists() else []
    patterns = [*patterns, *(line.strip() for line in ignore_lines if line.strip() and not line.startswith("#"))]
    paths = {name: context / name for name in exclude_paths(str(context), patterns) if name != ".dockerignore"}
    return sorted(name for name, path in paths.items() if path.is_symlink() or path.is_file() or path.is_dir())


def _arguments(build: Build, bases: Mapping[str, str]) -> dict[str, str]:
    manager = {"PACKAGE_MANAGER": build.package_manager} if build.template and build.template != "python-bot" else {}
    return {**{_argument(name): reference for name, reference in bases.items()}, **manager, **build.args}


def _argument(image: str) -> str:
    return image.upper().replace("-", "_")


def _declared(dockerfile: str) -> set[str]:
    return set(re.findall(r"^\s*ARG\s+(\w+)", dockerfile, re.MULTILINE | re.IGNORECASE))


def _with_arguments(dockerfile: str, arguments: Mapping[str, str]) -> str:
    """Declare, at the template's `# ARGS` line, the build arguments that the template does not declare itself."""
    unknown = sorted(arguments.keys() - _declared(dockerfile))
    return re.sub(r"^# ARGS$", "\n".join(f"ARG {name}" for name in unknown) or "#", dockerfile, flags=re.MULTILINE)


def _digest(dockerfile: str, context: Path, files: Iterable[str], build: Build, bases: Mapping[str, str]) -> str:
    """Return 16 hexadecimal digits over the product's inputs to the image; settings of the machine do not count."""
    state = hashlib.sha256(dockerfile.encode())
    pinned = {name: reference.partition("@")[2] or reference for name, reference in bases.items()}
    state.update(repr((sorted(_arguments(build, pinned).items()), build.target)).encode())
    for name in files:
        path = context / name
        if path.is_symlink():
            state.update(f"\n{name} -> {path.readlink()}\n".encode())
        elif path.is_file():
            state.update(f"\n{name} {bool(path.stat().st_mode & 0o100)} {path.stat().st_size}\n".encode())
            state.update(path.read_bytes())
    return state.hexdigest()[:16]


def _forget_old(client: docker.DockerClient, name: str) -> None:
    """Untag all but the newest builds; a tag that a container uses stays, whatever its age."""
    builds = client.images.list(name=f"dockyard/{name}")
    newest = sorted(builds, key=lambda image: str(image.attrs["Created"]), reverse=True)
    used = {container.attrs["Config"]["Image"] for container in client.containers.list(all=True, ignore_removed=True)}
    for image in newest[BUILDS_KEPT:]:
        for tag in image.tags:
            if tag.startswith(f"dockyard/{name}:") and tag not in used:
                client.images.remove(tag)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:99]}…"
