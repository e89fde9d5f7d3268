# Shared by quickstart and check: sourced, not run. A failed step ends the script with one sentence.
# shellcheck shell=bash

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$top/.build/release

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# Runs a command quietly; on failure shows the end of what it printed.
quietly() { # WHAT COMMAND...
    local what=$1 log
    shift
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        tail -n 25 "$log" >&2
        rm -f "$log"
        die "$what failed (its last lines stand above)"
    fi
    rm -f "$log"
}

build_packages="gcc libc6-dev make autoconf automake pkg-config libopenmpi-dev openmpi-bin libdnnl-dev
    libmicrohttpd-dev libgnutls28-dev libuv1-dev libsqlite3-dev libjansson-dev libprotobuf-c-dev
    protobuf-c-compiler libcurl4-openssl-dev libyaml-dev nettle-dev libturbojpeg0-dev
    libpng-dev zlib1g-dev libmimalloc-dev check"

install_packages() { # PACKAGE...
    local missing=() p
    for p in "$@"; do
        dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || die "these Debian packages are missing; install them or run as root: ${missing[*]}"
    command -v apt-get >/dev/null || die "this needs Debian's apt-get to install: ${missing[*]}"
    echo "installing ${#missing[@]} packages"
    export DEBIAN_FRONTEND=noninteractive
    quietly "apt-get update" apt-get update
    quietly "apt-get install ${missing[*]}" apt-get install -y --no-install-recommends "${missing[@]}"
}

# npm comes with some distributions of Node.js and as a package of its own with Debian's.
install_npm() {
    command -v npm >/dev/null || install_packages nodejs npm
}

build_all() { # CONFIGURE-FLAG...
    [ ! -f "$top/config.status" ] || die "this checkout was configured in place: run 'make distclean' first"
    if [ ! -x "$top/configure" ] || [ "$top/configure.ac" -nt "$top/configure" ]; then
        (cd "$top" && quietly autoreconf autoreconf -fi) || exit 1
    fi
    mkdir -p "$build"
    if [ ! -f "$build/config.status" ]; then
        (cd "$build" && quietly configure "$top/configure" --quiet "$@") || exit 1
    fi
    quietly make make -C "$build" -j"$(nproc)"
}
