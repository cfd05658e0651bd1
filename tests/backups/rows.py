"""All rows of a database, to compare it with another in a way that is not the manifest's."""

from tests.backups.backup_stage import BackupStage

ROWS = (
    "select string_agg(format('%s=%s', c.oid::regclass, md5(query_to_xml(format('select * from %s it order by"
    " it::text', c.oid::regclass), true, true, '')::text)), ' ' order by c.oid::regclass::text collate \"C\")"
    " from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'v', 'm')"
    " and n.nspname !~ '^(pg_|information)'"
)


def all_rows(stage: BackupStage, database: str) -> str:
    """Return a digest of every row of each table and view."""
    return stage.sql(ROWS, database)
