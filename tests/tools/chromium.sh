#!/bin/sh
# Finds a Chromium for the browser tests, or brings one; prints its path. Everything else goes to standard error.
#
# In this order: $OMNILINE_TEST_CHROMIUM; a browser on PATH; Debian's package, installed (root, or sudo without a
# password) or unpacked into .cache/chromium (nobody's rights needed, nothing outside this folder is touched); on Ubuntu,
# where the package is only a door to a snap, the build that Playwright fetches. On macOS an installed Chrome or Chromium;
# without one it prints nothing, and the browser tests are left out.
#
# chromium.sh --unpack takes the way without root, whatever else would do: for trying that way.

set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd)
cache=$root/.cache/chromium

say() { echo "chromium: $*" >&2; }

found() {
    say "$2: $1"
    echo "$1"
    exit 0
}

# A snap's command reads neither /tmp nor hidden folders, which is where tests keep their profiles.
is_snap() {
    case $(readlink -f "$1") in /snap/* | */usr/bin/snap) return 0 ;; esac
    head -c 4096 "$1" | grep -q /snap/
}

find_on_path() {
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        path=$(command -v "$name") || continue
        if is_snap "$path"; then say "$path is a snap's, not taken"; else found "$path" "on PATH"; fi
    done
}

find_on_macos() {
    for app in "Google Chrome" Chromium; do
        for home in /Applications "$HOME/Applications"; do
            path="$home/$app.app/Contents/MacOS/$app"
            [ ! -x "$path" ] || found "$path" "installed"
        done
    done
    say "left out: the browser tests (marker browser), because neither Google Chrome nor Chromium is in Applications"
    exit 0
}

# Print what starts a command as root; fail when nothing does.
as_root() {
    if [ "$(id -u)" = 0 ]; then echo env; elif sudo -n true 2>/dev/null; then echo "sudo -n"; else return 1; fi
}

install_package() {
    sudo=$(as_root) || return 1
    say "installing Debian's package"
    $sudo apt-get -qq update >&2 || say "apt-get update did not reach every source; going on with what is known"
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install chromium >&2 || return 1
    find_on_path
}

# The sources are the machine's own, and so is the list of what is installed: only what is missing is fetched. The rest of
# apt's state is ours. No maintainer script runs; Chromium needs none.
unpack_package() {
    say "unpacking Debian's package into .cache/chromium"
    rm -rf "$cache"
    mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial" "$cache/root"
    private() {
        apt-get -qq -o Dir::State="$cache/apt" -o Dir::State::Lists="$cache/apt/lists" -o Dir::State::status=/var/lib/dpkg/status \
            -o Dir::Cache="$cache/apt" -o Dir::Cache::archives="$cache/apt/archives" -o APT::Sandbox::User= -o Debug::NoLocking=1 \
            -o Acquire::Languages=none -o APT::Install-Recommends=0 "$@" >&2
    }
    private update || say "apt-get update did not reach every source; going on with what is known"
    # --reinstall: an installed package is fetched too when it is asked for by name.
    private -y --download-only --reinstall install chromium chromium-common fonts-dejavu-core
    for package in "$cache"/apt/archives/*.deb; do dpkg-deb -x "$package" "$cache/root"; done
    rm -rf "$cache/apt"
    write_wrapper
}

write_wrapper() {
    libraries=$(find "$cache/root/lib" "$cache/root/usr/lib" \( -name '*.so' -o -name '*.so.[0-9]*' \) 2>/dev/null | sed 's|/[^/]*$||' | sort -u | paste -sd : -)
    mkdir -p "$cache/fonts"
    cat >"$cache/fonts.conf" <<EOF
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>/usr/share/fonts</dir>
  <dir>$cache/root/usr/share/fonts</dir>
  <cachedir>$cache/fonts</cachedir>
</fontconfig>
EOF
    cat >"$cache/chromium.new" <<EOF
#!/bin/sh
LD_LIBRARY_PATH='$libraries' FONTCONFIG_FILE='$cache/fonts.conf' exec '$cache/root/usr/lib/chromium/chromium' "\$@"
EOF
    chmod +x "$cache/chromium.new"
    # A browser that cannot even say its version lacks a library: better told now than by a hundred tests.
    if "$cache/chromium.new" --version >&2; then mv "$cache/chromium.new" "$cache/chromium"; else return 1; fi
}

fetch_by_playwright() {
    say "Ubuntu's package is a snap; asking Playwright for its build"
    PLAYWRIGHT_BROWSERS_PATH=$root/.cache/playwright
    export PLAYWRIGHT_BROWSERS_PATH
    fetched() {
        find "$PLAYWRIGHT_BROWSERS_PATH" -type f -perm -100 \( -name chrome -o -name headless_shell -o -name chrome-headless-shell \) 2>/dev/null | sort | head -n 1
    }
    if [ -z "$(fetched)" ]; then
        deps=
        ! as_root >/dev/null || deps=--with-deps
        # shellcheck disable=SC2086  # nothing, or one option
        "$root/.venv/bin/python" -m playwright install $deps chromium >&2 || return 1
    fi
    path=$(fetched)
    [ -z "$path" ] || found "$path" "fetched by Playwright"
    return 1
}

if [ "${1:-}" = --unpack ]; then
    unpack_package
    found "$cache/chromium" "unpacked"
fi
if [ -n "${OMNILINE_TEST_CHROMIUM:-}" ]; then
    [ -x "$OMNILINE_TEST_CHROMIUM" ] || { say "OMNILINE_TEST_CHROMIUM is $OMNILINE_TEST_CHROMIUM, which is not a program"; exit 1; }
    found "$OMNILINE_TEST_CHROMIUM" "named by OMNILINE_TEST_CHROMIUM"
fi
[ "$(uname)" != Darwin ] || find_on_macos
find_on_path
[ ! -x "$cache/chromium" ] || found "$cache/chromium" "unpacked before"
distribution=$(. /etc/os-release 2>/dev/null && echo "${ID:-} ${ID_LIKE:-}") || distribution=
case $distribution in
    *ubuntu*) fetch_by_playwright || : ;;
    *debian*)
        install_package || :
        # A shell of its own, where the first thing that fails ends it: inside an `if`, `set -e` is deaf.
        if path=$(sh "$0" --unpack); then echo "$path" && exit 0; fi
        ;;
esac
say "none found, and none could be brought. Install Chromium or Google Chrome (a snap does not serve), or set"
say "OMNILINE_TEST_CHROMIUM to a browser's path; then run the same command again."
exit 1
