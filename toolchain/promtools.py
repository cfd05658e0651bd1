"""`promtool` and `amtool` on this machine, for checking rules and configurations without an engine."""

from __future__ import annotations

from pathlib import Path

from toolchain.kit.hostprograms import host_program
from toolchain.progress import Progress
from toolchain.workdir import WorkDir


def ensure_promtools(work: WorkDir, progress: Progress) -> Path:
    """Return a folder with `promtool` and `amtool`, of the same packages as the kit's images.

    The programs bring their own C library, so that they run whatever this machine has.
    Raises SetupError when the packages cannot be had.
    """
    folder = work.cache / "programs" / "promtools"
    if (folder / "promtool").exists() and (folder / "amtool").exists():
        return folder
    with progress.step("promtool and amtool") as step:
        folder.mkdir(parents=True, exist_ok=True)
        for package, program in (("promtool", "promtool"), ("prometheus-alertmanager", "amtool")):
            path = host_program(work, "sid", package, program, step.say)
            draft = folder / f".{program}"
            draft.unlink(missing_ok=True)
            draft.symlink_to(path)
            draft.replace(folder / program)
        step.outcome = str(folder)
    return folder
