#!/bin/sh
# Prints what a Postgres database holds, for the comparison of a restored database with the one it was made from.
#
#   manifest-postgres.sh [SNAPSHOT]     of the database that PGHOST, PGUSER and PGDATABASE name
#
# SNAPSHOT is one that another session exported (pg_export_snapshot), so that a dump and its manifest see the same rows.
# One line each, fields parted by tabs: KIND NAME ROWS CHECKSUM. Of a table the checksum is the sum of a hash of every
# row as text, so the order of rows does not matter; of views, indexes and the like it is that of their names.
# Left out: a sequence's value and a materialized view's rows, which no snapshot holds; what an extension brings along.
# Of a large object its first 64 MiB count.

set -eu
snapshot=${1-}
case $snapshot in
    '' | *[!0-9A-Fa-f-]*)
        [ -z "$snapshot" ] || {
            echo "manifest-postgres.sh: $snapshot is no snapshot" >&2
            exit 64
        }
        ;;
esac
# Settings that decide how a value is spelled; an empty search path, so that every name is spelled in full.
PGOPTIONS="${PGOPTIONS-} -c DateStyle=ISO -c IntervalStyle=postgres -c TimeZone=UTC -c extra_float_digits=1 \
-c bytea_output=hex -c lc_monetary=C -c xmloption=content -c search_path= -c row_security=off \
-c statement_timeout=0 -c idle_in_transaction_session_timeout=0"
export PGOPTIONS
{
    echo 'begin isolation level repeatable read read only;'
    [ -z "$snapshot" ] || echo "set transaction snapshot '$snapshot';"
    cat <<'SQL'
select format(
    $$select 'table', %L, count(*), coalesce(sum(hashtextextended((it.*)::text, 0)::numeric), 0) from only %I.%I it$$,
    n.nspname || '.' || c.relname, n.nspname, c.relname)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and c.relpersistence <> 't'
    and n.nspname <> 'information_schema' and n.nspname not like 'pg\_%'
    and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
order by n.nspname collate "C", c.relname collate "C" \gexec
with named as (
    select case c.relkind when 'v' then 'views' when 'm' then 'materialized views' when 'S' then 'sequences'
            when 'f' then 'foreign tables' when 'p' then 'partitioned tables' else 'indexes' end as kind,
        'pg_class'::regclass as class, c.oid, c.relnamespace as space, c.relname::text as name
    from pg_class c where c.relkind in ('v', 'm', 'S', 'f', 'p', 'i', 'I') and c.relpersistence <> 't'
    union all
    select 'functions', 'pg_proc'::regclass, p.oid, p.pronamespace,
        p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')'
    from pg_proc p
    union all
    select 'constraints', 'pg_constraint'::regclass, k.oid, k.connamespace, k.conrelid::regclass || ':' || k.conname
    from pg_constraint k where k.contype <> 't'
    union all
    select 'triggers', 'pg_trigger'::regclass, t.oid, c.relnamespace, t.tgrelid::regclass || ':' || t.tgname
    from pg_trigger t join pg_class c on c.oid = t.tgrelid where not t.tgisinternal
)
select kind, '', count(*), sum(hashtextextended(n.nspname || '.' || name, 0)::numeric)
from named join pg_namespace n on n.oid = space
where n.nspname <> 'information_schema' and n.nspname not like 'pg\_%'
    and not exists (select from pg_depend d where d.classid = class and d.objid = named.oid and d.deptype = 'e')
group by kind order by kind collate "C";
select 'large objects', '', count(*),
    coalesce(sum(hashtextextended(oid || ':' || md5(lo_get(oid, 0, 67108864)), 0)::numeric), 0)
from pg_largeobject_metadata;
select 'extensions', '', count(*), coalesce(sum(hashtextextended(extname, 0)::numeric), 0) from pg_extension;
commit;
SQL
} | psql --no-psqlrc --quiet --tuples-only --no-align --field-separator="$(printf '\t')" --set=ON_ERROR_STOP=1
