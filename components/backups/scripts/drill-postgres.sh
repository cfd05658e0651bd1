#!/bin/sh
# Proves a backup of Postgres by restoring it into a Postgres of its own, which is thrown away afterwards.
#
#   drill-postgres.sh [--from s3] [WHAT]      WHAT: latest (default), or a snapshot's id
#
# The restore is restore-postgres.sh's, so what is tried is what a person would do. Then every index is compared with
# its table (amcheck), and each file of $CHECKS, *.sql, must answer with one row that is true. $DRILL_RTO is how many
# seconds all of it may take; 0 for any. The throwaway server has a socket in $SCRATCH and no port, and does not wait
# for the disk: it holds nothing that would be missed. Roles come from the running server where it answers; where it
# does not, the restore goes without owners and privileges, and says so.
# How it ended stands in a file of metrics (components/metrics_files.py). Exit codes: 0 restored, equal and in time; 1 not.

set -eu
scripts=$(dirname "$0")
. "$scripts/lock.sh"
scratch=${SCRATCH:-/scratch}/drill
checks=${CHECKS:-$scripts/checks}
metrics=${METRICS_FOLDER:-/metrics/written}
limit=${DRILL_RTO:-0}
began=$(date +%s) proved='' slow='' note=''

say() { echo "drill: $*"; }
fail() {
    echo "drill failed: $1" >&2
    [ $# -lt 2 ] || echo "  → $2" >&2
    exit 1
}

# tell: in any case. The time of the last restore that was verified stays as it was where this one was not.
tell() {
    [ -d "$metrics" ] || return 0
    now=$(date +%s) said='{store="postgres"}'
    {
        echo "dockyard_backup_drill_last_attempt_timestamp_seconds$said $now"
        echo "dockyard_backup_drill_success$said ${proved:-0}"
        echo "dockyard_backup_drill_duration_seconds$said $((now - began))"
        echo "dockyard_backup_drill_limit_seconds$said $limit"
    } >"$metrics/backup-drill-postgres.prom.new" || return
    mv -f "$metrics/backup-drill-postgres.prom.new" "$metrics/backup-drill-postgres.prom"
    [ -n "$proved" ] || return 0
    file=$metrics/backup-verified-postgres.prom
    echo "dockyard_backup_last_verified_restore_timestamp_seconds$said $now" >"$file.new" && mv -f "$file.new" "$file"
}

# Away with the server, whoever started it, and all of its files.
clear_up() {
    [ ! -f "$scratch/data/postmaster.pid" ] || pg_ctl stop -D "$scratch/data" -m immediate -s ||
        { pid=$(head -n 1 "$scratch/data/postmaster.pid") && kill -9 "$pid"; } || :  # it has gone before
    rm -rf "$scratch"
}

ended() {
    code=$?
    trap - EXIT
    trap '' INT TERM
    clear_up || echo "drill: $scratch cannot be removed" >&2
    tell || echo "drill: its metrics could not be written to $metrics" >&2
    exit "$code"
}

# start_server PRELOADED: no parallel queries, whose memory would lie in a /dev/shm of 64 MB.
start_server() {
    initdb --pgdata="$scratch/data" --username=dockyard_drill --auth-local=trust --auth-host=reject --no-sync \
        --encoding=UTF8 >"$scratch/log" 2>&1 || { cat "$scratch/log" >&2 && return 1; }
    cat >>"$scratch/data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$scratch/socket'
port = 5433
fsync = off
full_page_writes = off
synchronous_commit = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 2GB
autovacuum = off
shared_buffers = 128MB
maintenance_work_mem = 64MB
max_parallel_workers = 0
max_connections = 20
shared_preload_libraries = '$1'
CONF
    pg_ctl start -D "$scratch/data" -l "$scratch/log" -w -t 120 -s || { tail -n 20 "$scratch/log" >&2 && return 1; }
}

from=''
if [ "${1-}" = --from ]; then
    from="--from ${2-}"
    shift 2
fi
what=${1:-latest}
database=${PGDATABASE:?the name of the database}
mkdir -p "${SCRATCH:-/scratch}"
# No metrics of this one: the one that runs tells of itself.
hold /tmp/dockyard-drill.lock || fail "another drill is running" "wait until it has ended"
trap ended EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
clear_up
mkdir -p "$scratch/socket" "$scratch/restore"
chmod 700 "$scratch"

RESTORE_OPTIONS=''
preloaded=$(psql -XqAtc 'show shared_preload_libraries' 2>/dev/null) || preloaded=''
if ! pg_dumpall --roles-only --no-role-passwords >"$scratch/roles.sql" 2>"$scratch/said"; then
    RESTORE_OPTIONS='--no-owner --no-privileges'
    note=', without owners and privileges: the running server did not tell its roles'
fi
start_server "$preloaded" || fail "a throwaway Postgres could not be started" "see above: is there room in $scratch?"
export PGHOST="$scratch/socket" PGPORT=5433 PGUSER=dockyard_drill PGDATABASE=postgres RESTORE_OPTIONS
[ -n "$RESTORE_OPTIONS" ] || psql -Xq -v ON_ERROR_STOP=1 -f "$scratch/roles.sql" >/dev/null ||
    fail "the running server's roles could not be made in the throwaway Postgres" "see above"

# shellcheck disable=SC2086 # two words, or none
SCRATCH=$scratch/restore REQUIRE_MANIFEST=yes sh "$scripts/restore-postgres.sh" $from restore "$what" drilled ||
    fail "backup $what of $database could not be restored" "see above; then: ./dockyard backup STACK, and drill again"
restored=$(date +%s)
pg_amcheck --install-missing --heapallindexed --jobs=2 --database=drilled ||
    fail "amcheck found a damaged table or index in what was restored" "look at the running database: pg_amcheck"
said=''
for check in "$checks"/*.sql; do
    [ -f "$check" ] || continue
    name=$(basename "$check" .sql)
    answer=$(psql --no-psqlrc -qAt -v ON_ERROR_STOP=1 -d drilled -f "$check") ||
        fail "the check $name could not be run" "see above; it stands in backups.drill.checks"
    [ "$answer" = t ] || fail "the check $name answered ${answer:-nothing} in place of true" \
        "look at the data, or at the check: backups.drill.checks"
    said="$said, $name"
done
proved=1
took=$(($(date +%s) - began))
say "$database: backup $what restored and verified in $took s: restore $((restored - began)) s," \
    "amcheck and own checks$said $((took - restored + began)) s$note"
[ "$limit" -eq 0 ] || [ "$took" -le "$limit" ] || slow=yes
if [ -n "$slow" ]; then
    fail "it is good, but took $took s and may take $limit s" "give the container more cores, or raise backups.drill.rto"
fi
[ "$limit" -eq 0 ] || say "within the limit of $limit s"
