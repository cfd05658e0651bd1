"""The verbs `./dockyard state …`: show, unlock, back up, restore and move the state of a stack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from machine.progress import Progress
from machine.workdir import WorkDir
from ops.deploy.history import updates
from ops.session import prepare_pulumi
from ops.state import copies
from ops.state.locks import locks, wait_for_locks
from ops.state.move import move_stack, prepare_migration
from ops.state.store import readable_store, store_of
from toolchain.environment import backend_url, ensure_backend, full_environment, local_backend
from toolchain.pulumi_cli import ensure_pulumi

app = typer.Typer(no_args_is_help=True, help="Show, unlock, back up, restore and move the state.")
Stack = Annotated[str, typer.Argument(help="A stack.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


@app.command()
def show(stack: Stack) -> None:
    """Show the state's backend, what encrypts its secrets, who locked it, and the last run."""
    work = WorkDir()
    store = store_of(work)
    deployment = prepare_pulumi(work, stack, Progress(quiet=True)).read("stack export").get("deployment") or {}
    pending = deployment.get("pending_operations") or ()
    runs = updates(store, stack) if store else []
    provider = deployment.get("secrets_providers") or {}
    holders = "; ".join(map(str, locks(store, stack))) if store else "unknown"
    last_run = "none" if store else "unknown"
    if runs:
        result = "succeeded" if runs[-1].succeeded else "failed"
        last_run = f"{runs[-1].kind} {result}, {runs[-1].ended.astimezone():%d %B %Y, %H:%M:%S}"
    lines = {
        "backend": backend_url(work),
        "secrets": (provider.get("state") or {}).get("url") or provider.get("type") or "none yet",
        "resources": str(len(deployment.get("resources") or ())),
        "locked by": holders or "nobody",
        "last run": last_run,
        "interrupted": f"yes, in {len(pending)} operations: ./dockyard up {stack} repairs it" if pending else "no",
    }
    for name, value in lines.items():
        typer.echo(f"{name:12} {value}")


@app.command()
def unlock(stack: Stack, yes: Yes = False) -> None:
    """Release the locks of a killed run on another machine. Make sure first that it has ended."""
    remedy = f"`pulumi cancel {stack}` removes the locks"
    store = readable_store(WorkDir(), "`state unlock` supports files and S3 only", remedy)
    stack_locks = locks(store, stack)
    if not stack_locks:
        typer.echo(f"The stack {stack} is not locked.")
    for lock in stack_locks:
        if lock.moved_to:
            question = f"The state was moved to {lock.moved_to}. Unlock the old one, and have two states?"
        elif lock.is_local and lock.alive:
            question = f"It is locked by {lock}, WHICH RUNS. Two runs at once corrupt the state. Unlock anyway?"
        else:
            question = (
                f"It is locked by {lock}. If that run continues, two runs at once corrupt the state. Has it ended?"
            )
        if not yes:
            typer.confirm(question, abort=True)
        store.delete(lock.key)
        typer.echo(f"Released. ./dockyard up {stack} repairs what the run left.")


@app.command()
def backup(stack: Stack, file: Annotated[Path | None, typer.Argument(help="A new file.")] = None) -> None:
    """Write the state to a file of mode 0600, its secrets encrypted, with a checksum file beside it."""
    work = WorkDir()
    written = copies.backup(prepare_pulumi(work, stack, Progress(quiet=True)), file)
    typer.echo(written)
    typer.echo("Only this stack's passphrase or key decrypts its secrets: keep that too, in another place.", err=True)


@app.command()
def restore(
    stack: Stack, file: Annotated[Path, typer.Argument(help="A file that `state backup` wrote.")], yes: Yes = False
) -> None:
    """Restore the state from a file of `state backup`. Containers stay; later changes are no longer in the state."""
    work, progress = WorkDir(), Progress(quiet=True)
    pulumi_cli = prepare_pulumi(work, stack, progress)
    wait_for_locks(work, stack, progress)
    copies.read(file, stack)
    if not yes:
        typer.confirm(f"Replace the current state of {stack} with {file}?", abort=True)
    before = copies.restore(pulumi_cli, file)
    typer.echo(f"Restored. The previous state is in {before}. Next: ./dockyard preview {stack} --refresh")


@app.command()
def move(
    url: Annotated[str, typer.Argument(help="file:///folder or s3://bucket/prefix?region=…")],
    stack: Annotated[str | None, typer.Argument(help="One stack. Default: all.")] = None,
) -> None:
    """Move stacks with their history to another backend; the old one stays, locked."""
    work, progress = WorkDir(), Progress()
    ensure_pulumi(work, Progress(quiet=True))
    ensure_backend(work)
    migration = prepare_migration(work, url, full_environment(work), progress)
    for name in [stack] if stack else migration.stacks():
        move_stack(migration, name)
    if migration.target.url == local_backend(work):
        progress.line("Remove `backend` from Pulumi.yaml, and PULUMI_BACKEND_URL from the environment.")
    else:
        progress.line(f'Now write into Pulumi.yaml, and commit it:\nbackend:\n  url: "{migration.target.url}"')
    if backend_url(work) == local_backend(work) and work.passphrase_file.exists():
        progress.line(
            f"The passphrase in {work.passphrase_file} decrypts the secrets: everybody who deploys needs it, and "
            "PULUMI_CONFIG_PASSPHRASE_FILE set to it. Alternatively use a key in a KMS: docs/state.md"
        )
