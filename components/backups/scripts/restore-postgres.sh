#!/bin/sh
# Restores a backup of Postgres into a new database, and puts a restored database in the place of the product's.
#
#   restore-postgres.sh [--from s3] restore WHAT NEW     WHAT: latest, a snapshot's id, or the path of a dump (pg_dump -Fc)
#   restore-postgres.sh swap NEW                         NEW takes the name PGDATABASE; what had it is kept
#
# In the environment: PGHOST, PGUSER, PGDATABASE, RESTIC_REPOSITORY and its key; BACKUP_S3_REPOSITORY for --from s3.
# A database is restored whole or not at all: it is filled under another name, compared with the manifest that was made
# with the backup, and only then gets its own. The dump is fetched before anything is made, and lies in $SCRATCH for as
# long as it takes. Other databases are not touched before `swap`, which is one transaction.
# Exit codes: 0 done, 64 called wrongly, 1 not done; then nothing of it is left, and the last line says what to do.

set -eu
scripts=$(dirname "$0")
. "$scripts/lock.sh"
scratch=${SCRATCH:-/scratch}
restic=/tools/restic
[ -x "$restic" ] || restic=restic
filling=_being_restored

say() { echo "$*"; }
fail() {
    echo "not restored: $1" >&2
    [ $# -lt 2 ] || echo "  → $2" >&2
    exit 1
}
PGOPTIONS="${PGOPTIONS-} -c client_min_messages=warning"
export PGOPTIONS
# ask DATABASE [OPTION...]: run the SQL on standard input.
ask() {
    database=$1
    shift
    psql --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 --dbname="$database" "$@"
}
exists() { [ "$(echo "select 1 from pg_database where datname = :'name'" | ask postgres --set=name="$1")" = 1 ]; }
drop() { echo 'drop database if exists :"name" with (force)' | ask postgres --set=name="$1"; }

# Readers lock the repository, so that nobody prunes under their hands. Where the lock cannot be written, as the disk is
# full or read-only, reading must go on: nobody can prune there either. A cache of what lies on a volume is of no use.
read_repository() {
    lock='--retry-lock=10m' cache=''
    case $RESTIC_REPOSITORY in
        /*)
            cache=--no-cache
            (head -c 65536 /dev/zero >"$RESTIC_REPOSITORY/.room") 2>/dev/null || lock=--no-lock
            rm -f "$RESTIC_REPOSITORY/.room" 2>/dev/null || lock=--no-lock
            ;;
    esac
    # shellcheck disable=SC2086 # an option, or none
    "$restic" "$@" "$lock" $cache --quiet
}

# of FIELD: its value in the JSON of one snapshot, which is one line.
of() { echo "$found" | sed -n "s/.*\"$1\": *\[*\"\([^\"]*\)\".*/\1/p"; }
run_of() { echo "$found" | sed -n 's/.*"\(at:[^"]*\)".*/\1/p'; }

# Set snapshot (its id), path, when, and run: the tag that it shares with its manifest, in every repository. The latest
# backup is the latest that has a manifest, which is made last.
find_snapshot() {
    wanted=$1 filter=postgres
    found=''
    if [ "$wanted" = latest ]; then
        found=$(read_repository snapshots --json --tag manifest --latest 1 --group-by '') || unreadable
        filter=postgres,$(run_of)
    fi
    if [ "$wanted" != latest ]; then
        found=$(read_repository snapshots --json "$wanted") || unreadable
        case $found in *'"postgres"'*) ;; *) found='' ;; esac
    elif [ "$filter" != postgres, ]; then
        found=$(read_repository snapshots --json --tag "$filter") || unreadable
    fi
    snapshot=$(of id) path=$(of paths) when=$(of time) run=$(run_of)
    [ -n "$snapshot" ] || fail "there is no good backup $wanted in $RESTIC_REPOSITORY" "list them: ./dockyard backups STACK"
}
unreadable() {
    fail "the repository $RESTIC_REPOSITORY cannot be read" "see above; is it there, and is the key the right one?"
}

# fetch WHAT: set dump, the path of a dump that pg_restore can read, and manifest where there is one.
fetch() {
    manifest=''
    case $1 in
        /*)
            [ -r "$1" ] || fail "there is no file $1 that can be read" "list what there is: ./dockyard backups STACK"
            dump=$1
            ;;
        *)
            find_snapshot "$1"
            say "reading backup $(echo "$snapshot" | cut -c1-8) of ${when%%.*} from $RESTIC_REPOSITORY"
            dump=$work/dump
            read_repository dump "$snapshot" "$path" >"$dump" ||
                fail "the backup cannot be read whole: it is damaged, or $scratch has no room for it" \
                    "free room, or take another: ./dockyard backups STACK; or the other copy: --from s3"
            if read_repository dump --tag "manifest,$run" latest /manifest.tsv >"$work/manifest" 2>"$work/said"; then
                manifest=$work/manifest
            elif ! grep -q 'no snapshot' "$work/said"; then
                cat "$work/said" >&2
                fail "the backup's manifest cannot be read" "take another backup, or the other copy: --from s3"
            fi
            ;;
    esac
    pg_restore --list "$dump" >"$work/contents" ||
        fail "$1 is no dump that pg_restore can read" "it must be one of pg_dump -Fc, whole"
}

restore() {
    what=$1 new=$2
    case $new in
        '' | *[!A-Za-z0-9_-]* | [!A-Za-z_]*)
            fail "$new is no name for a database" "letters, digits, _ and -, and a letter first"
            ;;
    esac
    [ ${#new} -le 40 ] || fail "the name $new is too long" "at most 40 characters"
    began=$(date +%s)
    ! exists "$new" || fail "there is a database $new already" "give another name: a restore never writes into one"
    fetch "$what"
    fetched=$(date +%s)
    partial=$new$filling
    drop "$partial"
    # With encoding and locale of the database that was dumped, as the dump says them; sorting depends on these.
    made=$(pg_restore --create --schema-only -f - "$dump" | sed -n 's/^CREATE DATABASE .* \(WITH TEMPLATE = template0 .*;\)$/\1/p' | head -n 1)
    printf 'create database :"name" %s\n' "${made:-template template0}" | ask postgres --set=name="$partial"
    # shellcheck disable=SC2086 # no option, or several
    pg_restore --exit-on-error --jobs=2 ${RESTORE_OPTIONS-} --dbname="$partial" "$dump" ||
        fail "pg_restore could not restore it whole; what it had made is gone again" \
            "see above: a role or an extension that is missing here is to be made first"
    echo 'analyze' | ask "$partial"
    filled=$(date +%s)
    if [ -n "$manifest" ]; then
        PGDATABASE=$partial sh "$scripts/manifest-postgres.sh" >"$work/found"
        if ! diff -u "$manifest" "$work/found" >"$work/differences"; then
            grep '^[-+][a-z]' "$work/differences" | sed 's/^-/backup:   /; s/^+/restored: /' | head -n 20 >&2
            fail "what was restored is not what was backed up" "take another backup: ./dockyard backups STACK"
        fi
        # grep counts none of an empty database, and calls that a failure.
        equal="equal to its source: $(grep -c '^table' "$manifest" || :) tables, $(
            awk -F '\t' '$1 == "table" { rows += $3 } END { printf "%d", rows }' "$manifest"
        ) rows"
    elif [ -n "${REQUIRE_MANIFEST-}" ]; then
        fail "no manifest was made with this backup: nobody can say whether it is whole" "make another: ./dockyard backup STACK"
    else
        equal='not compared: no manifest was made with it'
    fi
    echo 'alter database :"partial" rename to :"new"' | ask postgres --set=partial="$partial" --set=new="$new"
    partial=''
    say "restored to $new in $(($(date +%s) - began)) s (reading $((fetched - began)) s, filling $((filled - fetched)) s," \
        "comparing $(($(date +%s) - filled)) s); $equal"
}

# Everything in one transaction: the renaming waits until the sessions that it ends are gone, and lets no new one in.
swap() {
    new=$1 old=$(printf %.40s "$PGDATABASE")_before_$(date -u +%Y%m%dT%H%M%SZ)
    [ "$new" != "$PGDATABASE" ] || fail "$new is the product's database already"
    exists "$new" || fail "there is no database $new" "restore it first: ./dockyard restore STACK latest --to $new"
    exists "$PGDATABASE" || fail "there is no database $PGDATABASE to swap" "rename it: alter database \"$new\" rename to \"$PGDATABASE\""
    tries=0
    until ask postgres --set=current="$PGDATABASE" --set=new="$new" --set=old="$old" <<'SQL'; do
\set QUIET on
begin;
-- Owner, privileges and settings of a database are not in its tables: they stay with the name.
select format('alter database %I owner to %I', :'new', pg_get_userbyid(datdba)) from pg_database where datname = :'current' \gexec
select format('revoke all on database %I from public', :'new') from pg_database where datname = :'current' and datacl is not null
union all
select format('grant %s on database %I to %s%s', a.privilege_type, :'new',
    case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end,
    case when a.is_grantable then ' with grant option' else '' end)
from pg_database d, aclexplode(d.datacl) a where d.datname = :'current' \gexec
select format('alter %s set %I to %s',
    case s.setrole when 0 then format('database %I', :'new')
        else format('role %I in database %I', pg_get_userbyid(s.setrole), :'new') end,
    split_part(one, '=', 1),
    -- Values of these are lists, and are kept as they are to be written.
    case when split_part(one, '=', 1) in ('search_path', 'temp_tablespaces', 'session_preload_libraries', 'local_preload_libraries')
        then substr(one, strpos(one, '=') + 1) else quote_literal(substr(one, strpos(one, '=') + 1)) end)
from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase, unnest(s.setconfig) one
where d.datname = :'current' \gexec
select count(pg_terminate_backend(pid)) from pg_stat_activity where datname in (:'current', :'new') \g (format=unaligned) /dev/null
alter database :"current" rename to :"old";
alter database :"new" rename to :"current";
commit;
SQL
        tries=$((tries + 1))
        [ "$tries" -lt 6 ] || fail "sessions came back faster than they could be ended; nothing was changed" \
            "stop the services that use $PGDATABASE, then swap again"
        if ! exists "$new" || ! exists "$PGDATABASE"; then
            fail "the databases have changed meanwhile" "look at them: psql -l"
        fi
    done
    say "$PGDATABASE is now what $new was; what it was before is kept as $old"
    say "  → once nobody misses anything: drop database \"$old\""
}

ended() {
    code=$?
    trap - EXIT
    [ -z "${partial-}" ] || drop "$partial" || echo "  → delete by hand: drop database \"$partial\"" >&2
    [ -z "${work-}" ] || rm -rf "$work"
    exit "$code"
}

if [ "${1-}" = --from ]; then
    [ "${2-}" = s3 ] || fail "--from $2 is not known" "--from s3, or nothing for the volume"
    RESTIC_REPOSITORY=${BACKUP_S3_REPOSITORY:-}
    [ -n "$RESTIC_REPOSITORY" ] || fail "this stack has no copy of its backups in S3" "leave out --from s3; or set backups: {s3: …}"
    export RESTIC_REPOSITORY
    shift 2
fi
trap ended EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
case ${1-}/$# in
    restore/3)
        hold "/tmp/dockyard-restore${PGPORT-}.lock" || fail "another restore is running" "wait until it has ended"
        # What one that was killed has left.
        rm -rf "$scratch"/restore.*
        work=$(mktemp -d "$scratch/restore.XXXXXX")
        restore "$2" "$3"
        ;;
    swap/2) swap "$2" ;;
    *)
        echo 'usage: restore-postgres.sh [--from s3] restore WHAT NEW | swap NEW' >&2
        exit 64
        ;;
esac
