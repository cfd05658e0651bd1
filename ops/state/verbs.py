"""The verbs `./dockyard state …`: show, unlock, back up, restore and move the state of a stack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from machine.progress import Progress
from machine.workdir import WorkDir
from toolchain.environment import backend_url, local_backend

app = typer.Typer(no_args_is_help=True, help="The state: where it is, who holds it, copies of it, another place.")
Stack = Annotated[str, typer.Argument(help="A stack.")]
Yes = Annotated[bool, typer.Option("--yes", help="Ask nothing.")]


@app.command()
def show(stack: Stack) -> None:
    """Show where the state is kept, what encrypts its secrets, who holds it, and the last run."""
    # Imported here, and in each verb of this module: these imports would slow the start of every command.
    from ops.deploy.history import updates  # noqa: PLC0415 - slow, see `show`
    from ops.session import prepare_pulumi  # noqa: PLC0415 - slow, see `show`
    from ops.state.locks import locks  # noqa: PLC0415 - slow, see `show`
    from ops.state.store import store_of  # noqa: PLC0415 - slow, see `show`

    work = WorkDir()
    store = store_of(work)
    deployment = prepare_pulumi(work, stack, Progress(quiet=True)).read("stack export").get("deployment") or {}
    pending = deployment.get("pending_operations") or ()
    runs = updates(store, stack) if store else []
    provider = deployment.get("secrets_providers") or {}
    holders = "; ".join(map(str, locks(store, stack))) if store else "cannot tell"
    lines = {
        "kept at": backend_url(work),
        "secrets": (provider.get("state") or {}).get("url") or provider.get("type") or "none yet",
        "resources": str(len(deployment.get("resources") or ())),
        "locked by": holders or "nobody",
        "last run": f"{runs[-1].kind} {'succeeded' if runs[-1].succeeded else 'failed'},"
        f" {runs[-1].ended.astimezone():%d %B %Y, %H:%M:%S}"
        if runs
        else ("none" if store else "cannot tell"),
        "interrupted": f"yes, in {len(pending)} operations: ./dockyard up {stack} mends it" if pending else "no",
    }
    for name, value in lines.items():
        typer.echo(f"{name:12} {value}")


@app.command()
def unlock(stack: Stack, yes: Yes = False) -> None:
    """Take away the locks that a killed run on another machine left. Ask first whether it has really ended."""
    from ops.state.locks import locks  # noqa: PLC0415 - slow, see `show`
    from ops.state.store import readable_store  # noqa: PLC0415 - slow, see `show`

    remedy = f"`pulumi cancel {stack}` takes them away"
    store = readable_store(WorkDir(), "`state unlock` knows files and S3", remedy)
    stack_locks = locks(store, stack)
    if not stack_locks:
        typer.echo(f"Nobody holds the stack {stack}.")
    for lock in stack_locks:
        if lock.moved_to:
            question = f"The state was moved to {lock.moved_to}. Use the old one here again, and have two?"
        elif lock.is_local and lock.alive:
            question = (
                f"It is held by {lock}, WHICH RUNS on this machine. Two at once spoil the state. Unlock all the same?"
            )
        else:
            question = f"It is held by {lock}. If that run goes on, two runs at once spoil the state. Has it ended?"
        if not yes:
            typer.confirm(question, abort=True)
        store.delete(lock.key)
        typer.echo(f"Released. ./dockyard up {stack} mends what the run left.")


@app.command()
def backup(
    stack: Stack, file: Annotated[Path | None, typer.Argument(help="A file that is not there yet.")] = None
) -> None:
    """Write the state into a file of mode 0600, its secrets encrypted, with a checksum beside it."""
    from ops.session import prepare_pulumi  # noqa: PLC0415 - slow, see `show`
    from ops.state import copies as state_copies  # noqa: PLC0415 - slow, see `show`

    work = WorkDir()
    written = state_copies.backup(prepare_pulumi(work, stack, Progress(quiet=True)), file)
    typer.echo(written)
    typer.echo("Its secrets open only with this stack's passphrase or key: keep that too, and not beside it.", err=True)


@app.command()
def restore(
    stack: Stack, file: Annotated[Path, typer.Argument(help="What `state backup` wrote.")], yes: Yes = False
) -> None:
    """Make what `state backup` wrote the state. What runs is not touched; what was made since is not known any more."""
    from ops.session import prepare_pulumi  # noqa: PLC0415 - slow, see `show`
    from ops.state import copies as state_copies  # noqa: PLC0415 - slow, see `show`
    from ops.state.locks import settle_locks  # noqa: PLC0415 - slow, see `show`

    work, progress = WorkDir(), Progress(quiet=True)
    pulumi_cli = prepare_pulumi(work, stack, progress)
    settle_locks(work, stack, progress)
    state_copies.read(file, stack)
    if not yes:
        typer.confirm(f"Forget what the state of {stack} says now, and take {file} for it?", abort=True)
    before = state_copies.restore(pulumi_cli, file)
    typer.echo(f"Restored. What it was before is in {before}. Next: ./dockyard preview {stack} --refresh")


@app.command()
def move(
    url: Annotated[str, typer.Argument(help="file:///folder or s3://bucket/prefix?region=…")],
    stack: Annotated[str | None, typer.Argument(help="One stack. Default: all.")] = None,
) -> None:
    """Bring stacks with their history to another backend; the old one stays, locked."""
    from ops.state import move as state_move  # noqa: PLC0415 - slow, see `show`
    from toolchain.environment import ensure_backend, full_environment  # noqa: PLC0415 - slow, see `show`
    from toolchain.pulumi_cli import ensure_pulumi  # noqa: PLC0415 - slow, see `show`

    work, progress = WorkDir(), Progress()
    ensure_pulumi(work, Progress(quiet=True))
    ensure_backend(work)
    migration = state_move.prepare_migration(work, url, full_environment(work), progress)
    for name in [stack] if stack else migration.stacks():
        state_move.move(migration, name)
    if migration.target.url == local_backend(work):
        progress.line("Take `backend` out of Pulumi.yaml, and PULUMI_BACKEND_URL out of the environment.")
    else:
        progress.line(f'Now write into Pulumi.yaml, and commit it:\nbackend:\n  url: "{migration.target.url}"')
    if backend_url(work) == local_backend(work) and work.passphrase_file.exists():
        progress.line(
            f"Secrets open with the passphrase in {work.passphrase_file}: everybody who deploys needs it, named by "
            "PULUMI_CONFIG_PASSPHRASE_FILE. Or change to a key in a KMS: docs/state.md"
        )
