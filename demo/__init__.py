"""The demo workload: one image that stands for the application images of every product, by command and environment.

Commands: `backend [--migrate]` (Postgres and Redis, each only if named), `frontend`, `migrate`, `bot`, `static`,
`healthcheck`, `drive` (traffic for a backend). For trying releases out: RELEASE, DEMO_UNHEALTHY, DEMO_MIGRATION_FAIL,
DEMO_SLOW_MS. Metrics: METRICS_PREFIX (default `tumulte_`, `none` for no prefix) and DEMO_KPIS (`polls`, `love-parser`,
`none`).
"""
