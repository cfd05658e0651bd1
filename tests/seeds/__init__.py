"""docs/seeds.md as data, and its small language of what `docker inspect` shows."""
