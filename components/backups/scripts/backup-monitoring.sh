#!/bin/sh
# Backs up Grafana's database and Prometheus' data: see backup-common.sh, and docs/backups.md.
#
#   sh backup-monitoring.sh [grafana | prometheus]
#
# Needs GRAFANA_DATA (read-only will do), PROMETHEUS_DATA, where the snapshot that Prometheus made is removed again, and
# PROMETHEUS_URL with its admin API on. Their snapshots are tagged `grafana` and `prometheus`.

. "$(dirname "$0")/backup-common.sh"

# A transaction is under way while there is a journal that holds anything.
at_rest() { [ ! -s "$1-journal" ] && [ ! -s "$1-wal" ]; }

# SQLite's file as it is: good where the file is still the same after it was read, and no transaction was under way.
grafana() {
    database=$GRAFANA_DATA/grafana.db
    for pause in 1 5 20 60 ''; do
        if at_rest "$database"; then
            save grafana.db cat "$database"
            if read_back grafana.db cmp - "$database" && at_rest "$database"; then
                approve grafana
                good grafana
                return
            fi
            here forget --quiet --tag unverified --group-by '' --unsafe-allow-remove-all >/dev/null
        fi
        [ -n "$pause" ] || break
        log info "\"the database is being written to\" again_in=${pause}s"
        sleep "$pause"
    done
    return 1
}

# All blocks and what is not yet in one, as hard links that Prometheus makes.
prometheus() {
    made=$(wget -q -O - --post-data='' "$PROMETHEUS_URL/api/v1/admin/tsdb/snapshot" |
        sed -n 's/.*"name" *: *"\([A-Za-z0-9-]*\)".*/\1/p')
    [ -n "$made" ]
    code=0
    (
        cd "$PROMETHEUS_DATA/snapshots/$made"
        here backup --json --quiet --host "$BACKUP_HOST" --time "$moment" --tag unverified --tag "at:$stamp" . \
            >"$work/summary"
    ) || code=$?
    # Those of runs that were killed go with it.
    rm -rf "$PROMETHEUS_DATA"/snapshots/*
    [ "$code" -eq 0 ]
    noted
    # Whether every part of it can be read and is what its checksum says.
    rm -f "$work/unreadable"
    { here dump --archive tar "$id" / || : >"$work/unreadable"; } >/dev/null
    [ ! -e "$work/unreadable" ]
    approve prometheus
    good prometheus
}

if [ $# -eq 0 ]; then
    # One that fails does not keep the other from being made.
    code=0
    for one in grafana prometheus; do
        sh "$0" "$one" || code=$?
    done
    exit "$code"
fi
begin "$1"
"$1"
