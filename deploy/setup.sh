#!/bin/sh
# Prepares a machine: setup.sh [build|demo|test]
#
#   build   what building and running needs (the default)
#   demo    that, and npm where it can be installed: without it the demonstration's call is not paid
#   test    that, and the telephones, clients and tools that the tests call
#
# Looks first and installs only what is missing, so a second run takes no time. As root on Debian or
# Ubuntu it installs; elsewhere it prints what to install and fails only if something is missing.
set -eu

purpose=${1:-build}
rust_needed=1.95

# Daemons lie where other users do not look.
PATH=$PATH:/usr/sbin:/sbin

case $purpose in
build | demo | test) ;;
*)
    echo "usage: $0 [build|demo|test]" >&2
    exit 2
    ;;
esac

have() { command -v "$1" >/dev/null 2>&1; }

# Whether one of the given paths (patterns, expanded by the caller) exists.
any() {
    for path; do
        [ -e "$path" ] && return 0
    done
    return 1
}

header() {
    compiler=$(command -v c++ || command -v g++ || command -v clang++) || return 1
    printf '#include <%s>\n' "$1" | "$compiler" -E -x c++ - >/dev/null 2>&1
}

pip_works() {
    python3 -m pip --version >/dev/null 2>&1 || have pip3 || have pip
}

# One line for each missing thing: its Debian package.
missing_packages() {
    have cmake || echo cmake
    have clang || echo clang
    [ -n "${LIBCLANG_PATH:-}" ] ||
        any /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*/libclang*.so* /usr/lib64/libclang.so* ||
        echo libclang-dev
    have g++ || have c++ || echo g++
    have make || echo make
    have git || echo git
    have pkg-config || echo pkg-config
    { have pkg-config && pkg-config --exists opus 2>/dev/null; } || echo libopus-dev
    header sonic.h || echo libsonic-dev
    header espeak-ng/speak_lib.h || echo libespeak-ng-dev
    [ -n "${PIPER_ESPEAKNG_DATA_DIRECTORY:-}" ] ||
        any /usr/share/espeak-ng-data /usr/lib/*/espeak-ng-data /usr/lib64/espeak-ng-data ||
        echo espeak-ng-data
    pip_works || echo python3-pip
    [ "$purpose" = test ] || return 0
    have sipp || echo sip-tester
    have baresip || echo baresip
    have kamailio || echo kamailio
    any /usr/lib/*/kamailio/modules/jansson.so /usr/lib64/kamailio/modules/jansson.so ||
        echo kamailio-extra-modules
    any /usr/lib/*/kamailio/modules/tls.so /usr/lib64/kamailio/modules/tls.so ||
        echo kamailio-tls-modules
    have openssl || echo openssl
    have turnserver || echo coturn
    have svmap || echo sipvicious
    have sipsak || echo sipsak
    have tshark || echo tshark
    have sox || echo sox
    have opusdec || echo opus-tools
    have flite || echo flite
    have node || echo nodejs
    have npm || echo npm
    { have python3 && python3 -c 'import ensurepip, venv' >/dev/null 2>&1; } || echo python3-venv
}

install_packages() {
    echo "installing:" "$@"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    # The tests start their own servers: those that the packages start would hold their ports.
    for service in kamailio coturn; do
        case " $* " in
        *" $service "*)
            if have systemctl && [ -d /run/systemd/system ]; then
                systemctl disable --now "$service" >/dev/null 2>&1 || true
            fi
            ;;
        esac
    done
}

# Version $1 is at least $2, both MAJOR.MINOR[.…].
at_least() {
    major=${1%%.*} rest=${1#*.}
    minor=${rest%%.*}
    [ "$major" -gt "${2%%.*}" ] || { [ "$major" -eq "${2%%.*}" ] && [ "$minor" -ge "${2#*.}" ]; }
}

check_rust() {
    if ! have cargo; then
        echo "missing: cargo. Install Rust $rust_needed or newer: https://rustup.rs" >&2
        return 1
    fi
    found=$(cargo --version | cut -d ' ' -f 2)
    if ! at_least "$found" "$rust_needed"; then
        echo "cargo is $found, Rust $rust_needed or newer is needed: rustup update stable" >&2
        return 1
    fi
}

missing=$(missing_packages)
if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && have apt-get; then
    # shellcheck disable=SC2086 # one word for each package
    install_packages $missing
    missing=$(missing_packages)
fi

if [ "$purpose" = demo ] && ! have npm && [ "$(id -u)" = 0 ] && have apt-get; then
    install_packages npm || echo "npm cannot be installed; the demonstration does without" >&2
fi

failed=0
if [ -n "$missing" ]; then
    failed=1
    # shellcheck disable=SC2086
    set -- $missing
    echo "missing, by their Debian names: $*" >&2
    if have apt-get; then
        echo "run: sudo apt-get install --no-install-recommends $*" >&2
    else
        echo "install what your distribution calls them" >&2
    fi
fi
check_rust || failed=1
exit $failed
