#!/bin/sh
# Starts a program that reads its secrets from variables only, with those variables taken from files.
#
#   sh with-secrets.sh JWT_SECRET=/run/secrets/jwt-secret ... -- COMMAND [ARGUMENT...]
#
# A value goes from the file into the environment of COMMAND byte for byte, without the last line end. It stands in no
# command line and in no configuration of the container. COMMAND takes this shell's place: its process id, its signals.
# JWT_SECRET_FILE is unset: entry points that know both ways (Postgres' and its like) refuse to start when they see two.
# A file that is not there or cannot be read ends this with exit code 78 (EX_CONFIG). Needs nothing but a POSIX shell.

# Names with an underscore: where the image exports a variable of the same name, an assignment would reach COMMAND.
_newline='
'

_fail() {
    echo "with-secrets: $1" >&2
    exit 78
}

while [ $# -gt 0 ] && [ "$1" != -- ]; do
    _name=${1%%=*} _path=${1#*=} _value='' _between=''
    case $_name in
        '' | [0-9]* | *[!A-Za-z0-9_]*) _fail "expected NAME=FILE before --, found $1" ;;
    esac
    { [ -f "$_path" ] && [ -r "$_path" ]; } || _fail "no readable file $_path for $_name"
    # The last line may have no end: read returns it, and fails.
    while IFS= read -r _line || [ -n "$_line" ]; do
        _value=$_value$_between$_line _between=$_newline
    done 2>/dev/null <"$_path" || _fail "no readable file $_path for $_name"
    export "$_name=$_value"
    unset "${_name}_FILE"
    shift
done
[ $# -ge 2 ] || _fail "expected -- and a command after the files"
shift
exec "$@"
