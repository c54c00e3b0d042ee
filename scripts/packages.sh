#!/bin/sh
# Installs the system programs that the tests (`test`) or the benchmarks (`bench`) run, or what a virtual environment is made
# with (`venv`); quick when they are there.
#
#   scripts/packages.sh test|bench|venv
#
# Needs Debian or Ubuntu, and root or a sudo that asks no password; otherwise it says what to install, and fails.
set -eu

# Debian's postgresql keeps its server programs out of PATH.
has() {
    case $1 in
    chromium) command -v chromium || command -v chromium-browser || command -v google-chrome ;;
    postgresql) command -v initdb || ls /usr/lib/postgresql/*/bin/initdb ;;
    etcd-server) command -v etcd ;;
    prometheus) command -v promtool ;;
    # Debian's own python3 has no ensurepip without it; another python3 that stands before it may have all it needs.
    python3-venv) "${PYTHON:-python3}" -c 'import venv, ensurepip' ;;
    *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

case ${1:-} in
test) wanted="chromium postgresql redis-server etcd-server prometheus" purpose="tests" ;;
bench) wanted="nats-server" purpose="benchmarks" ;;
venv) wanted="make python3-venv" purpose="checks" ;;
*) echo "usage: $0 test|bench|venv" >&2 && exit 2 ;;
esac

missing=
for package in $wanted; do has "$package" || missing="$missing $package"; done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    sudo=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo=sudo
else
    sudo=none
fi

if ! command -v apt-get >/dev/null; then
    printf '\nerror: the %s need these programs (here by the names of their Debian packages):%s\n' "$purpose" "$missing" >&2
    printf '  Install them with the package manager of this system, then run make again.\n' >&2
    exit 1
elif [ "$sudo" = none ]; then
    printf '\nerror: the %s need Debian packages that are not installed, and this is not root. Run:\n\n' "$purpose" >&2
    printf '    sudo apt-get update && sudo apt-get install --no-install-recommends%s\n\nand then make again.\n' "$missing" >&2
    exit 1
fi

# Debian starts a server as soon as it is installed, and at every boot. The tests start their own on free ports, so
# starting is forbidden during the installation (policy-rc.d, exit code 101) and what this run installed is disabled.
policy=${POLICY_RC_D:-/usr/sbin/policy-rc.d}
forbid_start() {
    [ -e "$policy" ] && return
    trap '$sudo rm -f "$policy"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
    $sudo chmod 755 "$policy"
}

apt() { $sudo env DEBIAN_FRONTEND=noninteractive apt-get -y "$@" </dev/null; }

printf '\n==> Installing what the %s need:%s\n' "$purpose" "$missing"
forbid_start
apt -q update
# shellcheck disable=SC2086 # a list of words
apt install --no-install-recommends $missing

if [ -d /run/systemd/system ]; then
    for package in $missing; do
        case $package in
        chromium) ;;
        etcd-server) $sudo systemctl disable --quiet etcd || true ;;
        *) $sudo systemctl disable --quiet "$package" || true ;;
        esac
    done
fi

for package in $missing; do
    has "$package" || { echo "error: $package was installed, but its program is not found" >&2 && exit 1; }
done
