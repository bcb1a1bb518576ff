#!/bin/sh
# The program as the units of systemd run it: as their user, with their settings. Without these a command would make a house of its own,
# wherever it is called.
#
#   install -m 0755 deploy/omniline.sh /usr/local/sbin/omniline
#
# Files go in by standard input, for that user may not look into every folder: omniline apply /dev/stdin < house.toml

set -eu
cd /
set -a
OMNILINE_DATA=/var/lib/omniline
if [ -e /etc/omniline/omniline.env ]; then . /etc/omniline/omniline.env; fi
exec runuser -u omniline -- /opt/omniline/bin/omniline "$@"
