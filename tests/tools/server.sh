#!/bin/sh
# Finds the redis-server or the PostgreSQL of the tests, or brings one; prints its path. Everything else goes to standard error.
#
#   sh tests/tools/server.sh redis-server    Redis 7 or newer: the path of redis-server
#   sh tests/tools/server.sh postgres        PostgreSQL 14 or newer: the path of postgres; initdb and pg_ctl lie beside it
#
# In this order: $OMNILINE_TEST_REDIS_SERVER or $OMNILINE_TEST_POSTGRES; PATH, and where distributions and Homebrew put it;
# Debian's or Ubuntu's package, installed (root, or sudo without a password; nothing is started and no cluster is made) or
# unpacked into .cache (nobody's rights needed, nothing outside this folder is touched). The tests start their own servers.
#
# server.sh --unpack NAME takes the way without root, whatever else would do: for trying that way.

set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd)

say() { echo "$name: $*" >&2; }

found() {
    say "$2: $1"
    echo "$1"
    exit 0
}

unpack=
[ "${1:-}" != --unpack ] || { unpack=yes; shift; }
name=${1:-}
case $name in
    redis-server)
        named=${OMNILINE_TEST_REDIS_SERVER:-}
        variable=OMNILINE_TEST_REDIS_SERVER
        oldest=7
        says='.* server v='
        programs=redis-server
        places="/usr/bin /usr/local/bin /opt/homebrew/bin /opt/homebrew/opt/redis/bin /usr/local/opt/redis/bin"
        brew=redis
        ;;
    postgres)
        named=${OMNILINE_TEST_POSTGRES:-}
        variable=OMNILINE_TEST_POSTGRES
        oldest=14
        says='postgres (PostgreSQL) '
        programs="postgres initdb pg_ctl"
        # A pattern that matches nothing stands for itself, and is no program. The newest first, where sort knows versions.
        places=$(echo /usr/lib/postgresql/*/bin /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin | tr ' ' '\n')
        places=$(echo "$places" | sort -V -r 2>/dev/null || echo "$places")
        brew=postgresql@17
        ;;
    *)
        name=server.sh
        say "which one? redis-server or postgres"
        exit 1
        ;;
esac
cache=$root/.cache/$name

# They say "Redis server v=7.0.15 ..." and "postgres (PostgreSQL) 15.10 (Debian ...)"; what says another thing is no such program.
major() { "$1" --version 2>/dev/null | sed -n "1s/^$says\([0-9][0-9]*\).*/\1/p"; }

# Take $1 when it is a program, new enough, and its companions lie beside it; say why not.
consider() {
    [ -x "$1" ] && [ ! -d "$1" ] || return 0
    for program in $programs; do
        [ -x "$(dirname -- "$1")/$program" ] || { say "$1 has no $program beside it, not taken"; return 0; }
    done
    version=$(major "$1") || version=
    if [ "${version:-0}" -lt "$oldest" ]; then
        say "$1 is of version ${version:-unknown}, and $oldest or newer is needed: not taken"
        return 0
    fi
    found "$1" "$2"
}

find_installed() {
    path=$(command -v "$name") && consider "$path" "on PATH" && consider "$(readlink -f "$path" || :)" "on PATH"
    for place in $places; do consider "$place/$name" "installed"; done
}

# Print what starts a command as root; fail when nothing does.
as_root() {
    if [ "$(id -u)" = 0 ]; then echo env; elif sudo -n true 2>/dev/null; then echo "sudo -n"; else return 1; fi
}

# Debian starts the server of a package it installs, unless policy-rc.d forbids it; and PostgreSQL's makes a cluster.
install_package() {
    sudo=$(as_root) || return 1
    say "installing the distribution's package, without starting it"
    policy=/usr/sbin/policy-rc.d
    clusters=/etc/postgresql-common/createcluster.conf
    $sudo apt-get -qq update >&2 || say "apt-get update did not reach every source; going on with what is known"
    ours=
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' | $sudo sh -c "cat >$policy && chmod 755 $policy" || return 1
        ours=yes
        trap '$sudo rm -f $policy' EXIT
        trap 'exit 1' HUP INT TERM
    fi
    if [ "$name" = postgres ] && [ ! -e $clusters ]; then
        $sudo sh -c "mkdir -p $(dirname $clusters) && echo 'create_main_cluster = false' >$clusters" || return 1
        say "$clusters says that no cluster is to be made"
    fi
    status=0
    # force-confold: the file of clusters is a configuration file that was there before its package.
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 \
        -o Dpkg::Options::=--force-confold install "$package" >&2 || status=$?
    if [ -n "$ours" ]; then
        $sudo rm -f $policy
        trap - EXIT HUP INT TERM
    fi
    [ $status = 0 ] || return 1
    find_installed
}

# The sources are the machine's own, and so is the list of what is installed: only what is missing is fetched. The rest of
# apt's state is ours. No maintainer script runs; the tests need none.
unpack_package() {
    say "unpacking the distribution's package into .cache/$name"
    rm -rf "$cache"
    mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial" "$cache/root"
    private() {
        command=$1
        shift
        "$command" -qq -o Dir::State="$cache/apt" -o Dir::State::Lists="$cache/apt/lists" -o Dir::State::status=/var/lib/dpkg/status \
            -o Dir::Cache="$cache/apt" -o Dir::Cache::archives="$cache/apt/archives" -o APT::Sandbox::User= -o Debug::NoLocking=1 \
            -o Acquire::Languages=none -o APT::Install-Recommends=0 "$@"
    }
    private apt-get update >&2 || say "apt-get update did not reach every source; going on with what is known"
    # --reinstall: an installed package is fetched too when it is asked for by name; so the names are those that hold programs.
    case $name in
        redis-server) packages="redis-server redis-tools" ;;
        postgres)
            packages=$(private apt-cache depends postgresql | sed -n 's/.*Depends: \(postgresql-[0-9][0-9]*\)$/\1/p')
            packages="$packages $(echo "$packages" | sed 's/postgresql-/postgresql-client-/')"
            ;;
    esac
    # shellcheck disable=SC2086  # several names
    private apt-get -y --download-only --reinstall install $packages >&2
    for archive in "$cache"/apt/archives/*.deb; do dpkg-deb -x "$archive" "$cache/root"; done
    rm -rf "$cache/apt"
    write_wrappers
}

write_wrappers() {
    libraries=$(find "$cache/root/lib" "$cache/root/usr/lib" \( -name '*.so' -o -name '*.so.[0-9]*' \) 2>/dev/null | sed 's|/[^/]*$||' | sort -u | paste -sd : -)
    mkdir -p "$cache/new"
    for program in $programs; do
        real=$(find "$cache/root/usr" -name "$program" -path '*/bin/*' | head -n 1)
        cat >"$cache/new/$program" <<WRAPPER
#!/bin/sh
LD_LIBRARY_PATH='$libraries' exec '$real' "\$@"
WRAPPER
        chmod +x "$cache/new/$program"
        # A program that cannot even say its version lacks a library: better told now than by a hundred tests.
        "$cache/new/$program" --version >&2 || return 1
    done
    mv "$cache/new" "$cache/bin"
}

if [ -n "$unpack" ]; then
    unpack_package
    consider "$cache/bin/$name" "unpacked"
    exit 1
fi
if [ -n "$named" ]; then
    consider "$named" "named by $variable"
    say "$variable is $named, which does not serve"
    exit 1
fi
find_installed
consider "$cache/bin/$name" "unpacked before"
distribution=$(. /etc/os-release 2>/dev/null && echo "${ID:-} ${ID_LIKE:-}") || distribution=
case $distribution in
    *debian* | *ubuntu*)
        case $name in redis-server) package=redis-server ;; postgres) package=postgresql ;; esac
        install_package || :
        # A shell of its own, where the first thing that fails ends it: inside an `if`, `set -e` is deaf.
        if path=$(sh "$0" --unpack "$name"); then echo "$path" && exit 0; fi
        ;;
esac
say "none of version $oldest or newer found, and none could be brought. Install one (macOS: brew install $brew), or set"
say "$variable to its path; then run the same command again."
exit 1
