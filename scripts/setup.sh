#!/bin/sh
# Make .venv with everything the course needs, from the hashed lock. Quick when nothing changed.
#   scripts/setup.sh             the Python environment
#   scripts/setup.sh --browser   also a Chromium, for the browser tests
set -eu
cd "$(dirname "$0")/.."

fail() { printf '\n%s\n' "setup: $*" >&2; exit 1; }

# --- can this machine be served at all?
case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) ;;
    *) fail "TensorFlow Federated ships wheels for Linux on x86-64 only; this is $(uname -s) on $(uname -m).
       Open a lab in Colab (buttons in README.md), or the repository in GitHub Codespaces.
       On Windows with an Intel or AMD processor run this in WSL 2." ;;
esac

# --- find uv, or a Python 3.11
uv=$(command -v uv || command -v "${HOME:-}/.local/bin/uv" || true)  # pipx puts it there
python=""
for candidate in python3.11 python3 python; do
    if command -v "$candidate" >/dev/null 2>&1 &&
       "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
        python=$candidate; break
    fi
done
if [ -z "$uv" ] && [ -z "$python" ]; then
    found=$(command -v python3 >/dev/null 2>&1 && python3 --version || echo "no python3")
    fail "needs Python 3.11 (found $found) or uv, which brings its own.
       On Debian 12:           sudo apt-get install python3.11-venv
       On Ubuntu or Debian 13: sudo apt-get install pipx && pipx install uv"
fi
if [ -z "$uv" ] && ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    fail "$python has no venv module. Install it:  sudo apt-get install python3.11-venv"
fi
free_kb=$(df -Pk . | awk 'NR==2 {print $4}')
if [ ! -d .venv ] && [ "$free_kb" -lt 4000000 ]; then
    fail "needs 4 GB of free disk for the environment; $((free_kb / 1024)) MB are free here."
fi

# --- a browser for the browser tests, while the environment is made
find_browser() {
    for candidate in chromium chromium-browser google-chrome google-chrome-stable; do
        command -v "$candidate" >/dev/null 2>&1 && return 0
    done
    if command -v apt-get >/dev/null 2>&1 && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
        echo "setup: installing Chromium for the browser tests"
        sudo=""; [ "$(id -u)" = 0 ] || sudo="sudo -n"
        $sudo apt-get update -qq || true  # one source that fails, as in some images, leaves the others
        DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq chromium >/dev/null && return 0
    fi
    fail "the browser tests need Chromium or Google Chrome; the labs and the book do not.
       On Debian: sudo apt-get install chromium     On Ubuntu: sudo snap install chromium"
}
browser=""
if [ "${1:-}" = "--browser" ]; then find_browser & browser=$!; fi

# --- the environment, again only when the lock or the package's metadata changed
export VIRTUAL_ENV="$PWD/.venv"
with_uv() {
    "$1" pip sync --quiet --require-hashes requirements.txt &&
        "$1" pip install --quiet --no-deps --no-build-isolation --editable .
}
with_pip() { # also where uv has taken pip out again
    .venv/bin/python -m ensurepip >/dev/null
    .venv/bin/python -m pip install --disable-pip-version-check --quiet --no-deps "$@"
}
locked_uv() { awk '/^[a-z]/ {of_uv = /^uv==/} of_uv' requirements.txt; }
want=$(cat requirements.txt pyproject.toml scripts/setup.sh | sha256sum | cut -d' ' -f1)
if [ "$(cat .venv/.lock-sha256 2>/dev/null || true)" != "$want" ]; then
    rm -f .venv/.lock-sha256
    echo "setup: installing $(grep -c '^[a-z].*==' requirements.txt) locked packages into .venv (about 600 MB to download once)"
    if [ -n "$uv" ]; then
        [ -x .venv/bin/python ] || "$uv" venv --quiet --python 3.11 .venv
        with_uv "$uv"
    else
        [ -x .venv/bin/python ] || "$python" -m venv .venv
        # uv installs ten times as fast as pip, but an index that only pip was told of it does not find.
        if ! { locked_uv | with_pip --require-hashes -r /dev/stdin && with_uv .venv/bin/uv; }; then
            echo "setup: not with uv; installing the same with pip, which takes minutes"
            with_pip --require-hashes -r requirements.txt
            with_pip --no-build-isolation --editable .
        fi
    fi
    printf '%s' "$want" > .venv/.lock-sha256
    echo "setup: done"
fi
if [ -n "$browser" ]; then wait "$browser"; fi
