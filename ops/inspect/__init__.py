"""Commands that read what runs: status, logs, verify."""
