"""The verbs of the `dockyard` command."""
