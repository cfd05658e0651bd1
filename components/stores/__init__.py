"""Postgres and Redis, their dumps and the archive of the write-ahead log; stores that run elsewhere."""
