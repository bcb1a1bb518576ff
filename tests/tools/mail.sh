#!/bin/sh
# Finds the mail servers of the tests, Dovecot and Exim, or brings both; prints the folder of their programs. Everything else goes to
# standard error.
#
#   sh tests/tools/mail.sh       a folder with dovecot (2.3), doveconf, doveadm, exim, libexec/ and modules/; nothing where none can be had
#
# Where none can be had the tests with mail servers are left out, unless OMNILINE_TEST_DEMAND_MAIL=1 makes that a failure.
# In this order: $OMNILINE_TEST_MAIL; what was unpacked before; Debian's or Ubuntu's packages, unpacked into .cache/mail with all
# libraries they need (nobody's rights are wanted, nothing outside this folder is touched, no script of a package runs). Dovecot 2.4
# reads other settings than 2.3: where the distribution has that one, an older release's packages are taken from the same mirror.
# The tests start their own servers.

set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd)
cache=$root/.cache/mail
wanted=2.3

say() { echo "mail: $*" >&2; }

# Take the folder $1 if it has all that is needed, and say why not.
consider() {
    [ -d "$1" ] || return 0
    for part in dovecot doveconf doveadm exim libexec/imap-login libexec/imap libexec/lmtp libexec/auth modules; do
        [ -e "$1/$part" ] || { say "$1 has no $part, not taken"; return 0; }
    done
    dovecot=$("$1/dovecot" --version 2>/dev/null) || dovecot=
    case $dovecot in
        "$wanted".*) ;;
        *) say "$1 holds Dovecot '${dovecot:-that does not run}', and $wanted is needed: not taken"; return 0 ;;
    esac
    exim=$("$1/exim" -C /dev/null -bV 2>&1 | sed -n 's/^\(Exim version [0-9.]*\) .*/\1/p') || exim=
    [ -n "$exim" ] || { say "$1/exim does not run, not taken"; return 0; }
    say "$2: Dovecot $dovecot, $exim"
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

has_wanted() {
    private apt-cache madison dovecot-imapd | grep -q "| *1:$wanted\."
}

unpack() {
    rm -rf "$cache"
    mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial" "$cache/root"
    : >"$cache/apt/status"
    cat /etc/apt/sources.list >"$cache/apt/sources.list" 2>/dev/null || :
    sources=/etc/apt/sources.list.d
    private apt-get update >&2 || say "apt-get update did not reach every source; going on with what is known"
    if ! has_wanted; then
        older || return 1
    fi
    private apt-get -y --download-only install dovecot-imapd dovecot-lmtpd exim4-daemon-light libnss-wrapper >&2 ||
        because "apt did not bring the packages" || return 1
    for archive in "$cache"/apt/archives/*.deb; do
        dpkg-deb -x "$archive" "$cache/root" || because "a package could not be unpacked" || return 1
    done
    rm -rf "$cache/apt" "$cache/root/usr/share" "$cache/root/usr/lib"/*/perl*
    arrange
}

# The same mirror's last release with the Dovecot that is wanted.
older() {
    case $( (. /etc/os-release && echo "${ID:-}") 2>/dev/null) in
        ubuntu) release="noble main universe" keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg ;;
        *) release="bookworm main" keyring=/usr/share/keyrings/debian-archive-keyring.gpg ;;
    esac
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -E '^(URIs:|deb )' |
        grep -oE '(https?|mirror\+file|file):[^ ]+' | grep -E 'debian|ubuntu' | grep -v security | head -n 1)
    [ -n "$mirror" ] || because "this distribution has no Dovecot $wanted, and this machine names no mirror" || return 1
    say "this distribution has no Dovecot $wanted: taking that of ${release%% *}"
    echo "deb [signed-by=$keyring] $mirror $release" >"$cache/apt/sources.list"
    sources=/dev/null
    private apt-get update >&2 || because "this distribution has no Dovecot $wanted, and its mirror was not reached"
}

# The loader is told where the libraries are, not the environment: what these servers start keeps the machine's own. Every program finds
# the rest by its own path, so the folder may be copied. Both servers want users to exist by name: the folder that OMNILINE_MAIL_USERS
# names has a passwd and a group for them, in which all names are those of who runs the tests.
# Dovecot's place of modules is written into its library; there it becomes `modules` in the folder where a process runs, its base_dir.
arrange() {
    loader=$(cd "$cache/root" && find usr/lib lib -name 'ld-linux*.so*' 2>/dev/null | head -n 1)
    [ -n "$loader" ] || because "the packages brought no loader" || return 1
    libraries=$(cd "$cache/root" && find lib usr/lib \( -name '*.so' -o -name '*.so.[0-9]*' \) 2>/dev/null |
        sed -e 's|/[^/]*$||' | grep -v -e /perl -e /gconv -e /security -e /krb5/ -e /engines | sort -u |
        sed -e 's|^|$root/|' | paste -sd : -)
    names=$(cd "$cache/root" && find usr/lib -name 'libnss_wrapper.so*' | head -n 1)
    [ -n "$names" ] || because "the packages brought no libnss_wrapper" || return 1
    mkdir -p "$cache/new/libexec"
    printf '%s:x:%s:::/:/bin/false\n' root 0:0 Debian-exim 65534:65534 >"$cache/root/passwd"
    printf '%s:x:%s:\n' root 0 Debian-exim 65534 >"$cache/root/group"
    LC_ALL=C sed -i 's|/usr/lib/dovecot/modules|.////////////////modules|g' "$cache/root/usr/lib/dovecot"/libdovecot.so.*.*
    wrap usr/bin/doveconf doveconf .. || return 1
    wrap usr/sbin/dovecot dovecot .. master || return 1
    wrap usr/bin/doveadm doveadm .. doveadm || return 1
    for program in "$cache/root/usr/lib/dovecot"/*; do
        if [ -f "$program" ] && [ -x "$program" ]; then
            case $program in *.so | *.so.* | *.sh) continue ;; esac
            wrap "usr/lib/dovecot/${program##*/}" "libexec/${program##*/}" ../.. || return 1
        fi
    done
    wrap usr/sbin/exim4 exim .. || return 1
    ln -s ../root/usr/lib/dovecot/modules "$cache/new/modules"
    mv "$cache/new" "$cache/bin"
}

# wrap PROGRAM NAME UP [SERVICE]: UP is the way from the folder of NAME to that of the packages. What has a SERVICE would have a doveconf
# in /usr/bin read `-c FILE` for it; here it is ours, and that starts it: through no shell, which would drop the settings' odd names.
wrap() {
    [ -f "$cache/root/$1" ] || because "the packages brought no $1" || return 1
    {
        cat <<WRAPPER
#!/bin/sh
root=\$(CDPATH= cd -- "\$(dirname -- "\$0")/$3" && pwd)/root
users=\${OMNILINE_MAIL_USERS:-\$root}
export NSS_WRAPPER_PASSWD="\$users/passwd" NSS_WRAPPER_GROUP="\$users/group"
load() {
    program=\$root/\$1
    shift
    exec "\$root/$loader" --library-path "$libraries" --preload "\$root/$names" --argv0 "\$0" "\$program" "\$@"
}
WRAPPER
        [ -z "${4:-}" ] || cat <<SETTINGS
if [ "\${1:-}" = -c ]; then
    load usr/bin/doveconf -c "\$2" -f service=$4 -m $4 -p -e \\
        "\$root/$loader" --library-path "$libraries" --preload "\$root/$names" --argv0 "\$0" "\$root/$1" "\$@"
fi
SETTINGS
        echo "load $1 \"\$@\""
    } >"$cache/new/$2"
    chmod +x "$cache/new/$2"
}

if [ -n "${OMNILINE_TEST_MAIL:-}" ]; then
    consider "$OMNILINE_TEST_MAIL" "named by OMNILINE_TEST_MAIL"
    say "OMNILINE_TEST_MAIL is $OMNILINE_TEST_MAIL, which does not serve"
    exit 1
fi
consider "$cache/bin" "unpacked before"
reason="what was unpacked does not serve"
if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
    unpack && consider "$cache/bin" "unpacked"
else
    reason="there is no apt here to bring them"
fi
say "left out: the tests with mail servers (marker mail), because $reason. To have them, put dovecot,"
say "doveconf, doveadm, exim, and links libexec and modules to Dovecot's folders into one folder, and name that in OMNILINE_TEST_MAIL."
[ "${OMNILINE_TEST_DEMAND_MAIL:-}" = 1 ] || exit 0
say "OMNILINE_TEST_DEMAND_MAIL demands them: that is a failure"
exit 1
