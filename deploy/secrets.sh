#!/bin/sh
# Makes the passwords that compose.yaml names, each once: what is there stays.
#
#   sh deploy/secrets.sh
#
# Nobody but you can enter the folder. The files in it anybody may read, because a container is given each file alone, and the program
# in it runs as a user who is nobody on this machine.

set -eu
cd "$(dirname -- "$0")/.."

mkdir -p secrets
chmod 700 secrets
echo '*' > secrets/.gitignore
for name in postgres database redis; do
    if [ -s "secrets/$name" ]; then
        echo "secrets/$name is there already"
        continue
    fi
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > "secrets/$name"
    chmod 444 "secrets/$name"
    echo "made secrets/$name"
done
