#!/bin/sh
# Runs a command on a schedule, as the long-lived process of a container made from the job's own image.
#
#   sh schedule.sh "MINUTE HOUR DAY MONTH WEEKDAY" -- COMMAND [ARGUMENT...]
#   sh schedule.sh --health     exits 1 when the last run failed, or when no scheduler is at work
#
# Fields are cron's: *, numbers, lists, ranges and steps (settings/schedule.py checks them); Sunday is 0 and 7. Times are
# UTC unless TZ is set, and then the image must have that time zone's data. Like cron it follows the clock: an hour that
# summer time skips or repeats is skipped or repeated, and minutes that the machine slept through are not made up for.
# Two runs never overlap: a time that comes while the command still runs is noted and skipped.
# SIGTERM ends it at once, or, while the command runs, is passed on to the command, which is waited for.
# Needs a POSIX shell, date, sleep, mv, and a /tmp that can be written. Logs one line of key=value for each event.

set -fu
state=${TMPDIR:-/tmp}/dockyard-schedule
late=150 # seconds without a sign of life; one comes each minute

log() { echo "level=$1 source=schedule event=$2"; }

# note FILE TEXT: write it in one step, so that a health check never reads half of it.
note() { echo "$2" >"$state.$1.new" && mv -f "$state.$1.new" "$state.$1"; }

# matches FIELD VALUE LOWEST HIGHEST: VALUE has two digits. In a subshell: IFS and variables stay as they are.
matches() (
    value=$((1$2 - 100)) IFS=,
    for part in $1; do
        low=$3 high=$4 step=1
        case $part in
            */*) step=${part#*/} part=${part%/*} ;;
        esac
        case $part in
            \*) ;;
            *-*) low=${part%-*} high=${part#*-} ;;
            *) low=$part high=$part ;;
        esac
        [ "$value" -ge "$low" ] && [ "$value" -le "$high" ] && [ $(((value - low) % step)) -eq 0 ] && exit 0
    done
    exit 1
)

# due MINUTE HOUR DAY MONTH WEEKDAY of the schedule, then the same five of the clock.
due() {
    matches "$1" "$6" 0 59 && matches "$2" "$7" 0 23 && matches "$4" "$9" 1 12 || return 1
    day=no weekday=no
    if matches "$3" "$8" 1 31; then day=yes; fi
    if matches "$5" "${10}" 0 7 || { [ "${10}" = 00 ] && matches "$5" 07 0 7; }; then weekday=yes; fi
    # cron's rule: where both are restricted (neither begins with *), either of them will do.
    case "$3 $5" in
        \** | *' *'*) [ "$day$weekday" = yesyes ] ;;
        *) [ "$day$weekday" != nono ] ;;
    esac
}

# run COMMAND...: in the background, so that the clock goes on being watched.
run() {
    asked='' child=''
    trap 'asked=yes; [ -z "$child" ] || kill "$child" 2>/dev/null' TERM
    began=$(date +%s)
    log info start
    "$@" &
    child=$!
    [ -z "$asked" ] || kill "$child" 2>/dev/null
    wait "$child"
    code=$?
    if [ -n "$asked" ]; then
        # The signal ended the wait, not the command. 127: the command had ended before, and has been waited for.
        wait "$child" 2>/dev/null
        again=$?
        [ "$again" -eq 127 ] || code=$again
    fi
    outcome="exit=$code seconds=$(($(date +%s) - began))"
    note last "$outcome ended=$(date -u +%Y-%m-%dT%H:%M:%SZ)"
    if [ "$code" -eq 0 ]; then log info "end $outcome"; else log error "end $outcome"; fi
}

stop() {
    trap '' TERM INT QUIT HUP
    for child in $sleeper $runner; do
        kill "$child" 2>/dev/null && wait "$child"
    done
    log info stop
    exit 0
}

health() {
    { read -r alive <"$state.alive"; } 2>/dev/null || alive=0
    if [ $(($(date +%s) - alive)) -gt "$late" ]; then
        echo "no scheduler is at work: its last sign of life is more than $late seconds old"
        exit 1
    fi
    { read -r last <"$state.last"; } 2>/dev/null || last='none yet'
    echo "last run: $last"
    case $last in 'exit=0 '* | 'none yet') exit 0 ;; *) exit 1 ;; esac
}

[ "${1-}" != --health ] || health
if [ $# -lt 3 ] || [ "$2" != -- ]; then
    echo 'usage: schedule.sh "MINUTE HOUR DAY MONTH WEEKDAY" -- COMMAND [ARGUMENT...]' >&2
    exit 64
fi
schedule=$1 seen='' runner='' sleeper=''
shift 2
trap stop TERM INT QUIT HUP
log info "wait schedule=\"$schedule\" zone=${TZ:-UTC}"
while :; do
    now=$(TZ=${TZ:-UTC0} date '+%s %M %H %d %m 0%w') || exit 1
    seconds=${now%% *} minute=$((${now%% *} / 60))
    note alive "$seconds"
    if [ -n "$runner" ] && ! kill -0 "$runner" 2>/dev/null; then runner=''; fi
    # The minute in which it starts is over, as for cron: a predecessor may have run the command in it already.
    # shellcheck disable=SC2086 # five words each
    if [ "${seen:=$minute}" -ne "$minute" ] && due $schedule ${now#* }; then
        if [ -n "$runner" ]; then
            log warning 'skip reason=still_running'
        else
            run "$@" &
            runner=$!
        fi
    fi
    seen=$minute
    sleep $((60 - seconds % 60)) &
    sleeper=$!
    # A sleep that cannot be started must not become a loop without rest.
    wait "$sleeper" || [ $? -gt 128 ] || exit 1
done
