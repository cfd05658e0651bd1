#!/bin/sh
# Brings Postgres as it was at a time back beside the one that runs, from pgBackRest's repository.
#
#   sh restore-at.sh --at "2026-11-21 12:00:00+00" --to NEW_DATABASE [--from DATABASE]
#   sh restore-at.sh --drill      the newest backup and all of the log: can it be restored, is every table whole?
#
# The backup is restored into a folder of its own and started there, without a network and without an archive: it can
# neither be taken for the one that runs, nor write into its repository. Then one database of it goes into a new one of
# the server that runs, and both are compared by number and checksum of all rows. Whatever fails, nothing is left but
# what was there before; the database that runs is only ever read.
# Runs as the database's user with the server's socket in PGHOST. Needs PGBACKREST_CONFIG, PGBACKREST_STANZA, PGUSER,
# PGDATABASE, SCRATCH (a folder of its own) and METRICS_FOLDER, where there is one.

set -eu
at='' to='' from=$PGDATABASE drill=''
began=$(date +%s)
data=$SCRATCH/data log=$SCRATCH/server.log socket=/tmp/restored lock=/tmp/restore.lock
partial='' ours=''

say() { echo "restore: $1"; }
fail() {
    echo "restore: $1" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
        --drill) drill=yes && shift ;;
        --at | --to | --from)
            [ $# -ge 2 ] || fail "$1 needs a value"
            case $1 in --at) at=$2 ;; --to) to=$2 ;; --from) from=$2 ;; esac
            shift 2
            ;;
        *) fail "unknown: $1" ;;
    esac
done
[ -n "$drill" ] || { [ -n "$at" ] && [ -n "$to" ]; } || fail 'expected --at TIME --to NEW_DATABASE, or --drill'

PGOPTIONS="${PGOPTIONS-} -c client_min_messages=warning"
export PGOPTIONS
running() { psql -XAtq -v ON_ERROR_STOP=1 "$@"; }
drop() { echo 'drop database if exists :"name" with (force);' | running -d postgres -v name="$1"; }
restored() { PGHOST=$socket psql -XAtq -v ON_ERROR_STOP=1 "$@"; }

clean() {
    set +e
    [ -n "$ours" ] || return
    if [ -e "$data/postmaster.pid" ]; then pg_ctl -D "$data" -s -m immediate stop; fi
    [ -z "$partial" ] || drop "$partial"
    rm -rf "${SCRATCH:?}"/* "$socket" "$lock"
}
trap clean EXIT
trap 'exit 130' INT TERM HUP

# One at a time. The lock of one that was killed is nobody's.
if ! (set -C && echo $$ >"$lock") 2>/dev/null; then
    if kill -0 "$(cat "$lock")" 2>/dev/null; then fail 'another restore is at work here'; fi
    echo $$ >"$lock"
fi
ours=yes
if [ -e "$data/postmaster.pid" ]; then pg_ctl -D "$data" -s -m immediate stop || :; fi # one that was killed left it
rm -rf "${SCRATCH:?}"/* "$socket"
mkdir -p "$data" "$socket"
chmod 0700 "$data" "$socket"

if [ -z "$drill" ]; then
    case $to in
        *[!A-Za-z0-9_-]* | [!A-Za-z_]*) fail "$to is no name for a database: letters, digits, _ and -, a letter first" ;;
    esac
    [ ${#to} -le 40 ] || fail "the name $to is too long: at most 40 characters"
    taken=$(echo "select 1 from pg_database where datname = :'name';" | running -d postgres -v name="$to")
    [ -z "$taken" ] || fail "there is a database $to already; give a new name"
    echo "select :'at'::timestamptz;" | running -d postgres -v at="$at" >/dev/null || fail "no time: $at"
    future=$(echo "select :'at'::timestamptz > now();" | running -d postgres -v at="$at")
    [ "$future" = f ] || fail "$at is still to come"
    oldest=$(running -d postgres -v at="$at" <<'SQL'
\set said `pgbackrest --output=json info`
select case when min(stop) <= :'at'::timestamptz then '' else coalesce(to_char(min(stop), 'YYYY-MM-DD HH24:MI:SSOF'), 'none') end
from (
    select to_timestamp((it -> 'timestamp' ->> 'stop')::bigint) as stop
    from json_array_elements(:'said'::json -> 0 -> 'backup') as one (it)
) as backups;
SQL
    )
    [ "$oldest" != none ] || fail 'there is no base backup yet'
    [ -z "$oldest" ] || fail "the first moment that can be brought back is $oldest: the end of the oldest base backup"
    # Postgres knows that it is past a time by a transaction that was committed after it: here is one. It and all before
    # it must be in the archive.
    running -d postgres -c 'select pg_current_xact_id()' >/dev/null
fi
say 'waiting until the log of now is in the archive'
pgbackrest check || say 'the log of now is not in the archive: what is not there cannot come back'

say 'restoring the base backup'
if [ -n "$drill" ]; then
    set -- --type=default
else
    set -- --type=time "--target=$at" --target-action=promote
fi
pgbackrest --pg1-path="$data" --archive-mode=off --tablespace-map-all="$SCRATCH/tablespaces" "$@" restore ||
    fail 'pgBackRest could not restore'

say 'replaying the log'
# What a server must have to replay the log of another one, and no more; it is thrown away, so it need not be careful.
same=''
for setting in max_connections max_worker_processes max_wal_senders max_prepared_transactions \
    max_locks_per_transaction shared_preload_libraries; do
    same="$same -c $setting='$(running -d postgres -c "show $setting")'"
done
not_started() {
    tail -n 12 "$log" >&2
    fail 'what was restored does not start'
}
pg_ctl -D "$data" -s -w -l "$log" -o "-c listen_addresses= -c unix_socket_directories=$socket \
    -c archive_mode=off -c hot_standby=off -c fsync=off -c full_page_writes=off -c shared_buffers=64MB $same" start || not_started
# It has begun to replay. However long that takes: a server that gives up is gone.
until pg_isready -q -h "$socket" -d postgres; do
    pg_ctl -D "$data" status >/dev/null || not_started
    sleep 0.3
done

# Print number and checksum of the rows of each table, in an order that does not depend on how they lie on the disk.
sums() {
    "$@" <<'SQL'
set extra_float_digits = 3;
set datestyle = 'ISO';
set timezone = 'UTC';
select format(
    'select %L, count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) from only %s t', c.oid::regclass, c.oid::regclass
)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'm') and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'
order by n.nspname, c.relname \gexec
SQL
}

if [ -n "$drill" ]; then
    # Every table and index read, and its structure checked. Extensions that are missing are put into the copy.
    PGHOST=$socket pg_amcheck --all --install-missing --no-strict-names --heapallindexed || fail 'what was restored is damaged'
    say "the newest backup can be restored and is whole; it took $(($(date +%s) - began)) s"
else
    sums restored -d "$from" >"$SCRATCH/sums" || fail "there was no database $from at $at"
    say "bringing $from into $to"
    {
        restored -d "$from" <<'SQL'
select format('create database :"name" owner %I template template0 encoding %L lc_collate %L lc_ctype %L;',
    pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype)
from pg_database where datname = current_database();
SQL
    } >"$SCRATCH/create.sql"
    # Under another name until it is known to be whole. One that was killed may have left it.
    partial=${to}_being_restored
    drop "$partial"
    running -d postgres -v name="$partial" -f "$SCRATCH/create.sql" || fail "$partial could not be made"
    { PGHOST=$socket pg_dump -Fc --compress=0 -d "$from" || touch "$SCRATCH/broken"; } |
        pg_restore --exit-on-error -d "$partial" || fail "$from could not be brought into $to"
    [ ! -e "$SCRATCH/broken" ] || fail "$from could not be read"
    sums running -d "$partial" >"$SCRATCH/found" || fail "$partial could not be read"
    cmp -s "$SCRATCH/found" "$SCRATCH/sums" || fail "what is in $partial is not what was restored"
    echo 'alter database :"partial" rename to :"to";' | running -d postgres -v partial="$partial" -v to="$to"
    partial=''
    tables=$(wc -l <"$SCRATCH/sums")
    rows=$(awk -F'|' '{ n += $(NF - 1) } END { print n + 0 }' "$SCRATCH/sums")
    say "$to is $from as it was at $at: $tables tables, $rows rows, equal by checksum; it took $(($(date +%s) - began)) s"
fi
[ -z "${METRICS_FOLDER-}" ] || {
    file=$METRICS_FOLDER/restore-postgres-base.prom
    echo "dockyard_backup_last_verified_restore_timestamp_seconds{store=\"postgres-base\"} $(date +%s)" >"$file.new" &&
        mv -f "$file.new" "$file"
}
