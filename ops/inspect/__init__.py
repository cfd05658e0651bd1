"""Read-only commands: status, logs, verify."""
