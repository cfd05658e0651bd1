"""Commands that change what runs: up, down, restart, rollback."""
