#!/bin/sh
# Takes a base backup of Postgres with pgBackRest, reads it back, and only then lets older ones go.
#
#   sh base-backup.sh            in each repository; full where the last full one is older than FULL_EVERY seconds,
#                                else what changed since that one
#   sh base-backup.sh --first    only in repositories that hold none yet
#
# How each ended stands in METRICS_FOLDER (components/metrics_files.py), the one of the first repository as "scheduled",
# of the second as "offsite". After a full backup it is restored into a folder of its own and checked (restore-at.sh);
# where that failed, it is tried again after the next one.
# Runs as the database's user with its data folder mounted and its socket in PGHOST. Needs PGBACKREST_CONFIG,
# PGBACKREST_STANZA, REPOSITORY (folder of the first), REPOSITORIES ("1", or "1 2"), FULL_EVERY, GNU's date, and psql.

set -eu
first=${1-}
store=postgres-base
here=$(dirname "$0")
due=$REPOSITORY/restore-due

log() { echo "level=$1 source=base-backup $2"; }

# ask REPOSITORY SQL: about its backups, each with `it`, what pgBackRest says of it as JSON, and `number`.
ask() {
    printf '%s\n' '\set said `pgbackrest --repo="$asked" --output=json info`' \
        "with backups as (select * from json_array_elements(:'said'::json -> 0 -> 'backup') with ordinality as one (it, number))" \
        "$2;" | asked=$1 psql -XAtq -v ON_ERROR_STOP=1 -d postgres
}
last='from backups order by number desc limit 1'

# Write the metrics of repository $1: $2 is its kind, $3 when the attempt began, $4 the size where it was good.
tell() {
    [ -n "${METRICS_FOLDER-}" ] || return 0
    file=$METRICS_FOLDER/backup-$store-$2.prom now=$(date +%s) said="{kind=\"$2\",store=\"$store\"}"
    {
        echo "dockyard_backup_last_attempt_timestamp_seconds$said $now"
        echo "dockyard_backup_duration_seconds$said $((now - $3))"
        if [ -n "$4" ]; then
            echo "dockyard_backup_success$said 1"
            echo "dockyard_backup_last_success_timestamp_seconds$said $now"
            echo "dockyard_backup_size_bytes$said $4"
        else
            # Of the last good one its time and size stay; before the first there is nothing to find.
            grep -E '^dockyard_backup_(last_success_timestamp_seconds|size_bytes)[{]' "$file" 2>/dev/null || :
            echo "dockyard_backup_success$said 0"
        fi
    } >"$file.new" && mv -f "$file.new" "$file" || log error "metrics=unwritten file=$file"
}

# What `verify` finds stands in what it prints; its exit code is 0 all the same.
whole() {
    case $1 in *'status: error'* | *'status: invalid'*) echo "$1" >&2 && return 1 ;; esac
}

# Take one backup in repository $1, of type $2.
take() {
    pgbackrest stanza-create &&
        # Expiry comes last: nothing that was good may go before the new one is known to be.
        pgbackrest --repo="$1" --type="$2" --no-expire-auto backup &&
        label=$(ask "$1" "select it ->> 'label' $last") &&
        faults=$(pgbackrest --repo="$1" --set="$label" --output=text verify) &&
        whole "$faults" &&
        pgbackrest --repo="$1" expire
}

outcome=0
for repository in $REPOSITORIES; do
    kind=scheduled
    [ "$repository" = 1 ] || kind=offsite
    began=$(date +%s) type=unknown
    # By half a day too early, rather than a day too late.
    if type=$(ask "$repository" "select case when age is null then 'none' when age < $((FULL_EVERY - 43200)) then 'diff' else 'full' end
        from (select extract(epoch from now()) - max((it -> 'timestamp' ->> 'stop')::bigint) as age
              from backups where it ->> 'type' = 'full') as newest") &&
        { [ -z "$first" ] || [ "$type" = none ] || continue; } &&
        type=$(echo "$type" | sed 's/none/full/') &&
        log info "event=start repository=$repository type=$type" &&
        take "$repository" "$type" &&
        size=$(ask "$repository" "select it -> 'info' ->> 'size' $last"); then
        tell "$repository" "$kind" "$began" "$size"
        log info "event=end repository=$repository type=$type size=$size seconds=$(($(date +%s) - began))"
        # Before the first restore the time counts from the first backup.
        verified=${METRICS_FOLDER-/nowhere}/restore-$store.prom
        if [ "$repository" = 1 ] && [ -n "${METRICS_FOLDER-}" ] && [ ! -e "$verified" ]; then
            echo "dockyard_backup_last_verified_restore_timestamp_seconds{store=\"$store\"} $began" >"$verified"
        fi
        if [ "$repository" = 1 ]; then
            [ "$type" != full ] || touch "$due"
            if [ ! -e "$due" ] || sh "$here/restore-at.sh" --drill; then rm -f "$due"; else outcome=1; fi
        fi
    else
        tell "$repository" "$kind" "$began" ''
        log error "event=end repository=$repository type=$type failed=yes"
        outcome=1
    fi
done
exit "$outcome"
