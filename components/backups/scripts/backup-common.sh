# What the backups of all stores have in common; read by backup-*.sh, which set `store` and then call these.
#
# A backup is a snapshot of restic's in RESTIC_REPOSITORY, under the tag of its store. While it is made and read back it
# has the tag `unverified` alone, so that whatever ends it half-way leaves nothing that passes for a backup. All that
# belongs to one run has the tag `at:<time>`. Where BACKUP_S3_REPOSITORY is set, the good ones are copied there.
# How it ended stands in METRICS_FOLDER (components/metrics_files.py).
# Needs a POSIX shell, timeout, and restic on the path or at /tools/restic.

set -eu
umask 077
scripts=$(dirname "$0")
restic=/tools/restic
[ -x "$restic" ] || restic=restic
. "$scripts/lock.sh"
stamp=$(date -u +%Y%m%dT%H%M%SZ) moment=$(date -u '+%Y-%m-%d %H:%M:%S') began=$(date +%s)
part='' work='' size='' turn=/tmp/dockyard-backup.turn

log() { echo "level=$1 source=backup store=$store event=$2"; }

# The repository on the volume: to keep a cache of it would be to have it twice.
here() { "$restic" --no-cache --retry-lock 15m "$@"; }

# The one in S3. restic itself asks again for a quarter of an hour what was not answered.
there() { timeout "${BACKUP_S3_PATIENCE:-7200}" "$restic" --retry-lock 15m -r "$BACKUP_S3_REPOSITORY" "$@"; }

# tell KIND SUCCESS [SIZE]: how it ended; of the last good one its time and size stay.
tell() {
    [ -d "$METRICS_FOLDER" ] || return 0
    file=$METRICS_FOLDER/backup-$1-$store.prom said="{kind=\"$1\",store=\"$store\"}" now=$(date +%s)
    kept='^dockyard_backup_(expected|last_success)_timestamp_seconds|^dockyard_backup_size_bytes'
    [ "$2" = 0 ] || kept='^dockyard_backup_expected_timestamp_seconds'
    {
        grep -sE "$kept" "$file" || true # nothing to keep: the first time
        echo "dockyard_backup_last_attempt_timestamp_seconds$said $now"
        echo "dockyard_backup_duration_seconds$said $((now - began))"
        echo "dockyard_backup_success$said $2"
        [ "$2" = 0 ] || echo "dockyard_backup_last_success_timestamp_seconds$said $now"
        [ -z "${3-}" ] || echo "dockyard_backup_size_bytes$said $3"
    } >"$file.new" && mv -f "$file.new" "$file" || log error "\"its metrics could not be written to $file\""
}

# expect KIND: since when backups are to be had, so that one that was never made is missed too.
expect() {
    file=$METRICS_FOLDER/backup-$1-$store.prom
    [ -d "$METRICS_FOLDER" ] && [ ! -e "$file" ] || return 0
    echo "dockyard_backup_expected_timestamp_seconds{kind=\"$1\",store=\"$store\"} $(date +%s)" >"$file.new" &&
        mv -f "$file.new" "$file"
}

# Make the repository where there is none; any other trouble (a wrong key: 12) is told and ends the backup.
open() {
    code=0
    # Of a run that was killed: locks whose process is gone. It is the cheapest thing that needs the key.
    here unlock --quiet >/dev/null 2>"$work/said" || code=$?
    if [ "$code" -eq 10 ]; then
        here init >/dev/null
    elif [ "$code" -ne 0 ]; then
        cat "$work/said" >&2
        log error "\"the repository $RESTIC_REPOSITORY cannot be opened\""
        exit 1
    fi
}

# Wait until no other backup is being made in this container; one that was killed is not waited for.
take_turn() {
    waits='' nowhere=0
    until hold "$turn"; do
        if [ -L "$turn" ]; then
            [ -n "$waits" ] || log info '"waits for the backup that is being made"'
            waits=yes nowhere=0
        elif [ $((nowhere += 1)) -gt 5 ]; then
            log error '"no lock can be made in /tmp: is it full?"'
            tell scheduled 0
            exit 1
        fi
        sleep 1
    done
}

# begin STORE: one backup of a container at a time; another waits for it.
begin() {
    store=$1
    take_turn
    trap finish EXIT
    work=$(mktemp -d /tmp/dockyard-backup.XXXXXX)
    trap 'exit 143' TERM INT HUP
    part=scheduled
    open
    # What a run that was killed had not yet read back.
    here forget --quiet --tag unverified --group-by '' --unsafe-allow-remove-all >/dev/null
    log info begin
}

finish() {
    code=$?
    set +e
    trap - EXIT
    if [ -n "$part" ]; then
        tell "$part" 0
        log error "failed part=$part"
        [ "$code" -ne 0 ] || code=1
    fi
    rm -rf "$work" "$turn"
    exit "$code"
}

# save NAME COMMAND...: what a command prints becomes the file NAME of a snapshot that nobody takes for good yet; its id
# goes to `id`, its size to `size`. A command that fails leaves no snapshot.
save() {
    name=$1
    shift
    here backup --json --quiet --host "$BACKUP_HOST" --time "$moment" --tag unverified --tag "at:$stamp" \
        --stdin-from-command --stdin-filename "$name" -- "$@" >"$work/summary"
    noted
}

noted() {
    id=$(sed -n 's/.*"snapshot_id":"\([0-9a-f]*\)".*/\1/p' "$work/summary")
    size=$(sed -n 's/.*"total_bytes_processed":\([0-9]*\).*/\1/p' "$work/summary")
    [ -n "$id" ] && [ -n "$size" ] && [ "$size" -gt 0 ]
}

# read_back NAME COMMAND...: a command gets the saved file on its standard input, all of it, and says whether it is well.
read_back() {
    name=$1
    shift
    rm -f "$work/unreadable"
    { here dump "$id" "/$name" || : >"$work/unreadable"; } | "$@"
    [ ! -e "$work/unreadable" ]
}

# Give the snapshot the tags that it is found by; it has another id then.
approve() {
    here tag --set "$1" --set "at:$stamp" --json "$id" >"$work/tagged"
    id=$(sed -n 's/.*"new_snapshot_id":"\([0-9a-f]*\)".*/\1/p' "$work/tagged")
    [ -n "$id" ]
}

# good TAG...: the backup is whole and readable. Then older ones go, and the copy is made.
good() {
    tell scheduled 1 "$size"
    log info "good id=$id bytes=$size seconds=$(($(date +%s) - began))"
    thin here "$@" || exit 1
    part=''
    [ -n "${BACKUP_S3_REPOSITORY-}" ] || return 0
    part=offsite began=$(date +%s)
    for pause in 5 20 60 ''; do
        if send "$@"; then
            tell offsite 1
            log info "copied seconds=$(($(date +%s) - began))"
            part=''
            return 0
        fi
        [ -n "$pause" ] || break
        log warning "\"the copy to S3 failed\" again_in=${pause}s"
        sleep "${BACKUP_S3_PAUSE:-$pause}"
    done
    exit 1
}

# thin WHICH TAG...: let go of what the rule in BACKUP_KEEP does not keep; an empty one keeps all. What has several tags has a path for each of them. Of one tag
# the paths do not count: Prometheus' snapshots have names of their own. Few calls: each derives the key, half a second.
thin() {
    [ -n "$BACKUP_KEEP" ] || return 0
    which=$1 by=''
    shift
    [ $# -eq 1 ] || by=paths
    tags=$(printf -- '--tag %s ' "$@")
    # shellcheck disable=SC2086 # several words
    "$which" forget --quiet $tags --group-by "$by" $BACKUP_KEEP --prune >/dev/null
}

# send TAG...: copy to S3 what is not there yet, and look whether the repository there is whole. Called where `set -e`
# does not count.
send() {
    tags=$(printf -- '--tag %s ' "$@")
    from="--from-repo $RESTIC_REPOSITORY --from-password-file $RESTIC_PASSWORD_FILE"
    code=0 all=''
    # Nobody else writes there: what was locked before this container began is of one that is gone.
    [ -e /tmp/dockyard-backup.s3 ] || all=--remove-all
    # shellcheck disable=SC2086 # one word or none
    there unlock --quiet $all >/dev/null 2>"$work/said" || code=$?
    if [ "$code" -eq 10 ]; then
        # shellcheck disable=SC2086 # several words
        there init --copy-chunker-params $from >/dev/null || return
    elif [ "$code" -ne 0 ]; then
        cat "$work/said" >&2
        return 1
    fi
    : >/tmp/dockyard-backup.s3
    # shellcheck disable=SC2086 # several words
    there copy --quiet $tags $from || return
    thin there "$@" || return
    there check --quiet
}
