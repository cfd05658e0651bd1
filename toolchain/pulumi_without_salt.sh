#!/bin/sh
# Runs a `pulumi` command and keeps this machine's salts out of the stack files.
#   pulumi_without_salt.sh PROGRAM CHECKOUT WORK_FOLDER ARGUMENT...
#
# At every command Pulumi writes the salt of a stack's secrets into Pulumi.<stack>.yaml and reformats the file. Salts
# listed in WORK_FOLDER/salts were created on this machine, are stored in the state, and are useless elsewhere, so they
# must not appear in git. A salt that was in the file before stays, and so does one that decrypts secrets in the file.
# After a kill the next command cleans up.
#
# Nothing simpler holds for a plain `pulumi up`: Pulumi saves the salt whenever it takes the secrets manager from the
# state (GetSecretsManager in pkg/cmd/pulumi/stack/secrets.go), and `--config-file` names one file for all stacks. A git
# clean filter would keep the salt out of commits, but Pulumi also rewrites the file's style, a clone has no filter
# until something configures it, and the salt would stay in the working tree.
program=$1 checkout=$2 salts=$3/salts saved=$3/stack-files
shift 3

salted() { # whether a stack file contains one of our salts
    [ -s "$salts" ] && grep -qxFf "$salts" "$1"
}

words() { # the content of a stack file without our salts and without formatting
    grep -vxFf "$salts" "$1" | tr -d "\"' \t\n"
}

mkdir -p "$saved"
for file in "$checkout"/Pulumi.*.yaml; do
    [ ! -f "$file" ] || salted "$file" || cp "$file" "$saved/"
done

trap : INT TERM # Pulumi gets these signals too and shuts down cleanly; this script waits for it
"$program" "$@"
code=$?

for file in "$checkout"/Pulumi.*.yaml; do
    [ -f "$file" ] && salted "$file" && ! grep -q 'secure:' "$file" || continue
    before=$saved/${file##*/}
    if [ ! -f "$before" ] || [ "$(words "$file")" != "$(words "$before")" ]; then
        # The file has other changes besides the salt: keep them.
        before=$saved/unsalted.$$
        grep -vxFf "$salts" "$file" > "$before"
    fi
    cat "$before" > "$file"
    rm -f "$saved/unsalted.$$"
done
exit $code
