#!/bin/sh
# Finds the Asterisk of the tests, with SIPp beside it, or brings both; prints the folder of their programs. Everything else goes to
# standard error.
#
#   sh tests/tools/asterisk.sh       a folder with asterisk (16 or newer), sipp, modules/ and share/; nothing where none can be had
#
# Where none can be had the tests of calls are left out, unless OMNILINE_TEST_DEMAND_ASTERISK=1 makes that a failure.
# In this order: $OMNILINE_TEST_ASTERISK; what was unpacked before; Debian's or Ubuntu's packages, unpacked into .cache/asterisk with all
# libraries they need (nobody's rights are wanted, nothing outside this folder is touched, no script of a package runs). Debian 12 and 13
# have no Asterisk: there it is that of Debian's unstable distribution, from the same mirror. The tests start their own servers.

set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd)
cache=$root/.cache/asterisk
oldest=16

say() { echo "asterisk: $*" >&2; }

# Take the folder $1 if it has all that is needed, and say why not.
consider() {
    [ -d "$1" ] || return 0
    for part in asterisk sipp modules share/sounds; do
        [ -e "$1/$part" ] || { say "$1 has no $part, not taken"; return 0; }
    done
    version=$("$1/asterisk" -V 2>/dev/null) || version=
    number=$(echo "$version" | sed -n 's/^Asterisk \([0-9][0-9]*\)\..*/\1/p')
    if [ "${number:-0}" -lt "$oldest" ]; then
        say "$1 holds '${version:-no Asterisk}', and $oldest or newer is needed: not taken"
        return 0
    fi
    say "$2: $version"
    echo "$1"
    exit 0
}

# Fail, for a reason that is told at the end.
because() {
    reason=$1
    return 1
}

# All of apt's state is ours, and nothing is taken for installed: so every library comes too, down to libc.
private() {
    command=$1
    shift
    "$command" -qq -o Dir::State="$cache/apt" -o Dir::State::Lists="$cache/apt/lists" -o Dir::State::status="$cache/apt/status" \
        -o Dir::Cache="$cache/apt" -o Dir::Cache::archives="$cache/apt/archives" -o Dir::Etc::SourceList="$cache/apt/sources.list" \
        -o Dir::Etc::SourceParts="$sources" -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
        -o APT::Sandbox::User= -o Debug::NoLocking=1 -o Acquire::Languages=none -o APT::Install-Recommends=0 "$@"
}

unpack() {
    rm -rf "$cache"
    mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial" "$cache/root"
    : >"$cache/apt/status"
    : >"$cache/apt/sources.list"
    cat /etc/apt/sources.list >"$cache/apt/sources.list" 2>/dev/null || :
    sources=/etc/apt/sources.list.d
    private apt-get update >&2 || say "apt-get update did not reach every source; going on with what is known"
    if [ -z "$(private apt-cache madison asterisk)" ]; then
        mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -E '^(URIs:|deb )' | grep -oE '(https?|mirror\+file|file):[^ ]+' |
            grep debian | grep -v security | head -n 1)
        [ -n "$mirror" ] || because "this distribution has none, and this machine names no mirror of Debian" || return 1
        say "this distribution has no Asterisk: taking that of Debian's unstable one"
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >"$cache/apt/sources.list"
        sources=/dev/null
        private apt-get update >&2 || because "this distribution has none, and Debian's mirror was not reached" || return 1
    fi
    private apt-get -y --download-only install asterisk asterisk-core-sounds-en-gsm sip-tester >&2 || because "apt did not bring the packages" || return 1
    for archive in "$cache"/apt/archives/*.deb; do
        dpkg-deb -x "$archive" "$cache/root" || because "a package could not be unpacked" || return 1
    done
    rm -rf "$cache/apt"
    arrange
}

# The loader is told where the libraries are, not the environment: what Asterisk starts keeps the machine's own.
arrange() {
    loader=$(find "$cache/root/usr/lib" "$cache/root/lib" -name 'ld-linux*.so*' 2>/dev/null | head -n 1)
    [ -n "$loader" ] || because "the packages brought no loader" || return 1
    libraries=$(find "$cache/root/lib" "$cache/root/usr/lib" \( -name '*.so' -o -name '*.so.[0-9]*' \) -not -path '*/asterisk/modules/*' 2>/dev/null |
        sed 's|/[^/]*$||' | sort -u | paste -sd : -)
    mkdir -p "$cache/new"
    for program in asterisk sipp; do
        real=$(find "$cache/root/usr" -name "$program" -type f -path '*bin/*' | head -n 1)
        [ -n "$real" ] || because "the packages brought no $program" || return 1
        printf '#!/bin/sh\nexec %s --library-path %s %s "$@"\n' "'$loader'" "'$libraries'" "'$real'" >"$cache/new/$program"
        chmod +x "$cache/new/$program"
    done
    ln -s "$(find "$cache/root/usr/lib" -type d -path '*/asterisk/modules' | head -n 1)" "$cache/new/modules"
    ln -s "$cache/root/usr/share/asterisk" "$cache/new/share"
    mv "$cache/new" "$cache/bin"
}

if [ -n "${OMNILINE_TEST_ASTERISK:-}" ]; then
    consider "$OMNILINE_TEST_ASTERISK" "named by OMNILINE_TEST_ASTERISK"
    say "OMNILINE_TEST_ASTERISK is $OMNILINE_TEST_ASTERISK, which does not serve"
    exit 1
fi
consider "$cache/bin" "unpacked before"
reason="what was unpacked does not serve"
if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
    unpack && consider "$cache/bin" "unpacked"
else
    reason="there is no apt here to bring an Asterisk"
fi
say "left out: the tests of calls (marker asterisk), because $reason. To have them, put asterisk, sipp, and links"
say "to Asterisk's modules and share folders into one folder, and name that in OMNILINE_TEST_ASTERISK."
[ "${OMNILINE_TEST_DEMAND_ASTERISK:-}" = 1 ] || exit 0
say "OMNILINE_TEST_DEMAND_ASTERISK demands them: that is a failure"
exit 1
