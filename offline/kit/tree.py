"""Assemble the folders that become layers: Debian's files, moved to the paths of the official images."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from machine.processes import run
from machine.progress import SetupError
from offline.debian import Package, Suite
from offline.host_programs import loader_of
from offline.kit.layers import Owner
from offline.kit.recipes import NOBODY, Recipe

FILES = Path(__file__).parent / "files"

BASE_PACKAGES = ("base-files", "libc6", "libc-bin", "libgcc-s1", "busybox-static", "ca-certificates")

_MAINTAINERS = ("adduser", "debconf", "init-system-helpers", "openssl", "sensible-utils", "debianutils")
"""Packages that only maintainer scripts and interactive users need."""

_WITHOUT_USE = [
    f"{folder}/{pattern}"
    for folder, patterns in {
        "/usr/share": "doc man info locale lintian bash-completion bug initramfs-tools postgresql-common gcc i18n gdb",
        "/usr/share/zoneinfo": "right",
        "/usr/lib": "systemd tmpfiles.d sysusers.d */gconv */perl*",
        "/etc": "cron* default init.d logrotate.d",
    }.items()
    for pattern in patterns.split()
]

BASE_OWNERS = {"/tmp": Owner(0, 0o1777), "/var/tmp": Owner(0, 0o1777), "/root": Owner(0, 0o700)}  # noqa: S108 - of the image

_MERGED = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}


def base_tree(suite: Suite, tree: Path) -> list[Package]:
    """Create the base of every image of a suite: C library, busybox with its applets, users, CA certificates."""
    packages = suite.fetch(BASE_PACKAGES, without=_MAINTAINERS)
    for package in packages:
        package.unpack(tree)
    drop(tree, _WITHOUT_USE)
    for link, target in _MERGED.items():
        (tree / target).mkdir(parents=True, exist_ok=True)
        if not (tree / link).is_symlink():
            (tree / link).symlink_to(target)
    drop(tree, ["/var/run", "/var/lock"])
    (tree / "var/run").symlink_to("/run")
    (tree / "var/lock").symlink_to("/run/lock")
    (tree / "usr/local/bin").mkdir(parents=True, exist_ok=True)
    _link_applets(tree)
    _write_certificates(tree)
    _write_users(tree, {})
    (tree / "etc" / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    return packages


def image_tree(
    recipe: Recipe, suite: Suite, packages_below: Set[str], below: Sequence[Path], tree: Path
) -> list[Package]:
    """Create the files that an image adds to the folders `below`, which contain `packages_below`.

    Returns the packages that the files come from.
    """
    packages = suite.fetch(recipe.packages, without=(*_MAINTAINERS, *recipe.without)) if recipe.packages else []
    packages = [package for package in packages if package.name not in packages_below]
    tree.mkdir(parents=True, exist_ok=True)
    for package in packages:
        package.unpack(tree)
    for locale in recipe.locales:
        _compile_locale(locale, below[0], tree)
    drop(tree, (*_WITHOUT_USE, *recipe.drops))
    for path in (*recipe.moves.values(), *recipe.files, *recipe.links):
        within(tree, path).parent.mkdir(parents=True, exist_ok=True)
    for source, target in recipe.moves.items():
        within(tree, source).rename(within(tree, target))
    for path, name in recipe.files.items():
        shutil.copyfile(FILES / name, within(tree, path))
    for link, target in recipe.links.items():
        within(tree, link).symlink_to(target)
    for path in recipe.owners:
        if not within(tree, path).exists():
            within(tree, path).mkdir(parents=True)
    if recipe.users:
        _write_users(tree, recipe.users)
    return packages


def check(checks: Sequence[Sequence[str]], trees: Sequence[Path]) -> None:
    """Run programs of an image from its finished files. Raises SetupError when one does not start."""
    for command in checks:
        _run_inside(command, trees, f"{command[0]} of the image kit does not run")


def compile_python(folders: Sequence[str], trees: Sequence[Path]) -> None:
    """Compile the Python files of an image, because its root file system is read-only at run time.

    Python does not check the results against the sources, whose times are meaningless in an image.
    """
    for folder in folders:
        place = str(within(trees[-1], folder))
        arguments = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
        arguments += ["-s", str(trees[-1]), "-p", "/", place]
        _run_inside(["/usr/bin/python3.13", *arguments], trees, f"{folder} of the image kit cannot be compiled")


def _run_inside(command: Sequence[str], trees: Sequence[Path], failure: str) -> None:
    """Run a program of an image on this machine, with the image's own C library and other libraries if it has them."""
    program, *arguments = command
    path = next((candidate for tree in reversed(trees) if (candidate := within(tree, program)).exists()), None)
    if path is None:
        raise SetupError(f"{failure}: the packages do not have it")
    if not list(trees[0].glob("usr/lib/*/libc.so.6")):
        run([str(path), *arguments], failure)
        return
    loader, libraries = loader_of(trees[0])
    search = ":".join(str(tree / libraries.relative_to(trees[0])) for tree in trees)
    python = {"PYTHONHOME": str(path.parent.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    run([str(loader), "--library-path", search, str(path), *arguments], failure, env=python)


def within(tree: Path, path: str) -> Path:
    """Return the location on this machine of a path in the image."""
    return tree / path.lstrip("/")


def drop(tree: Path, patterns: Sequence[str]) -> None:
    """Remove the files and folders that match the patterns."""
    for pattern in patterns:
        for path in tree.glob(pattern.lstrip("/")):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _compile_locale(locale: str, base: Path, tree: Path) -> None:
    """Compile a locale such as `en_US.utf8`, always as UTF-8, from its source in Debian's package `locales`."""
    loader, libraries = loader_of(base)
    target = tree / "usr/lib/locale" / locale
    target.parent.mkdir(parents=True, exist_ok=True)
    localedef = [str(loader), "--library-path", str(libraries), str(base / "usr/bin/localedef")]
    command = [*localedef, "--no-archive", "-i", locale.partition(".")[0], "-f", "UTF-8", str(target)]
    run(command, f"The locale {locale} cannot be made", env={"I18NPATH": str(tree / "usr/share/i18n")})


def _link_applets(tree: Path) -> None:
    busybox = tree / "usr/bin/busybox"
    for applet in run([str(busybox), "--list"], "busybox of the image kit does not run").split():
        link = busybox.parent / applet
        if not link.exists():
            link.symlink_to("busybox")


def _write_certificates(tree: Path) -> None:
    certificates = sorted((tree / "usr/share/ca-certificates").rglob("*.crt"))
    target = tree / "etc/ssl/certs/ca-certificates.crt"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join(path.read_text() for path in certificates))
    drop(tree, ["/usr/share/ca-certificates"])


def _write_users(tree: Path, extra: Mapping[str, int]) -> None:
    users = {"root": 0, "nobody": NOBODY, **extra}
    homes = {"root": "/root", "postgres": "/var/lib/postgresql", "node": "/home/node"}
    passwd = [f"{name}:x:{number}:{number}::{homes.get(name, '/')}:/bin/sh\n" for name, number in users.items()]
    (tree / "etc").mkdir(parents=True, exist_ok=True)
    (tree / "etc/passwd").write_text("".join(passwd))
    (tree / "etc/group").write_text("".join(f"{name}:x:{number}:\n" for name, number in users.items()))
