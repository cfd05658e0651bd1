#!/bin/sh
# Runs a `pulumi` command and keeps this machine's salts out of the stack files.
#   pulumi_without_salt.sh PROGRAM CHECKOUT WORK_FOLDER ARGUMENT...
#
# At every command the engine writes the salt of a stack's secrets into Pulumi.<stack>.yaml, and while it is at it
# writes the file in its own style. The salts listed in WORK_FOLDER/salts were made on this machine, are kept in the
# state, and mean nothing elsewhere: git must not see them come. A salt that came with the file is left alone, and so
# is one that opens secrets in the file. After a kill the next command tidies up.
program=$1 checkout=$2 salts=$3/salts saved=$3/stack-files
shift 3

salted() { # with one of our salts, that is
    [ -s "$salts" ] && grep -qxFf "$salts" "$1"
}

words() { # what a stack file says, the salt and its style aside
    grep -vxFf "$salts" "$1" | tr -d "\"' \t\n"
}

mkdir -p "$saved"
for file in "$checkout"/Pulumi.*.yaml; do
    [ ! -f "$file" ] || salted "$file" || cp "$file" "$saved/"
done

trap : INT TERM # the engine gets them too, and ends in good order; this script waits for it
"$program" "$@"
code=$?

for file in "$checkout"/Pulumi.*.yaml; do
    [ -f "$file" ] && salted "$file" && ! grep -q 'secure:' "$file" || continue
    before=$saved/${file##*/}
    if [ ! -f "$before" ] || [ "$(words "$file")" != "$(words "$before")" ]; then
        # Somebody has changed more than the salt meanwhile: that stays.
        before=$saved/unsalted.$$
        grep -vxFf "$salts" "$file" > "$before"
    fi
    cat "$before" > "$file"
    rm -f "$saved/unsalted.$$"
done
exit $code
