#!/bin/sh
# Makes .venv and installs luabus into it; does nothing when that is already done.
#
#   scripts/setup.sh run      what `luabus-cluster` needs
#   scripts/setup.sh dev      that, and what the tests and the linters need
#   scripts/setup.sh bench    that, and what the benchmarks compare with
#
# PYTHON=/path/to/python chooses the interpreter; otherwise the first one found that is new enough.
set -eu

want=${1:?run, dev or bench}
cd "$(dirname "$0")/.."
venv=.venv
needs="luabus needs Python 3.11 or newer"

say() { printf '\n==> %s\n' "$*"; }
fail() {
    printf '\nerror: %s\n' "$1" >&2
    shift
    for line in "$@"; do printf '  %s\n' "$line" >&2; done
    exit 1
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
version() { "$1" -c 'import platform; print(platform.python_version())' 2>/dev/null; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" >/dev/null || fail "PYTHON=$PYTHON: there is no such program"
        new_enough "$PYTHON" || fail "PYTHON=$PYTHON is Python $(version "$PYTHON"); $needs"
        echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    found=$(version python3 || true)
    fail "$needs; ${found:+the python3 found here is }${found:-no python3 was found}" \
        "Debian 12+, Ubuntu 24.04+:  apt-get install python3 python3-venv" \
        "macOS:                      brew install python" \
        "or name one yourself:       make PYTHON=/path/to/python3.12 ..."
}

make_venv() {
    python=$(find_python)
    # Debian ships `venv` without the `ensurepip` it needs unless this package is there.
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$python ($(version "$python")) cannot make virtual environments" \
            "Debian, Ubuntu:  apt-get install python3-venv     (or python$(version "$python" | cut -d. -f1,2)-venv)"
    say "Making $venv with $python ($(version "$python"))"
    "$python" -m venv --clear "$venv"
}

# A .venv is made anew when it lost its interpreter (a system upgrade), when the folder was moved or copied (its scripts
# still point to the old place), and when another PYTHON is asked for.
usable() {
    new_enough "$venv/bin/python" || return 1
    [ "$(sed -n 1p "$venv/.made-for" 2>/dev/null)" = "$(pwd -P)" ] || return 1
    [ -z "${PYTHON:-}" ] || [ "$(sed -n 2p "$venv/.made-for")" = "$PYTHON" ]
}
if ! usable; then
    make_venv
    printf '%s\n%s\n' "$(pwd -P)" "$python" >"$venv/.made-for"
fi

fingerprint() { cksum <pyproject.toml; }
done_for() { [ "$(cat "$venv/.installed-$1" 2>/dev/null)" = "$(fingerprint)" ]; }

# Told to write no bytecode (as in many containers), Python would compile luabus anew in every process of a cluster,
# for half of what a process takes to start.
compile() {
    [ -z "${PYTHONDONTWRITEBYTECODE:-}" ] || "$venv/bin/python" -m compileall -q luabus launcher dashboard || true
}
ready() { done_for "$1" && compile && exit 0; }
ready "$want" || true

case $want in
run)
    ready dev || true
    target=.
    ;;
dev) target='.[dev]' ;;
bench) target='.[dev,bench]' ;;
*) fail "$want is none of: run, dev, bench" ;;
esac

say "Installing luabus into $venv ($want)"
PIP_DISABLE_PIP_VERSION_CHECK=1 "$venv/bin/python" -m pip install --editable "$target" ||
    fail "the installation failed; the reason is above. Run the same command again to continue."
fingerprint >"$venv/.installed-$want"
compile
