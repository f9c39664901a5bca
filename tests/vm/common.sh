# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# What the scripts of tests/vm share. Sourced, never run.
#
# A run of a command in a guest is a *control directory* that host and guest both see:
#
#     cmd      bash script: what to run, written by the host
#     guest    copy of guest-run, so that the root file system needs no rebuild when it changes
#     shares   directories to mount at the same path, one a line (user-mode Linux; nspawn binds them itself)
#     data     exists if a data disk is attached
#     rc       exit status of the command, written by the guest; absent: the guest never got that far
#
# The command's stdout and stderr, merged, come out of the runner's stdout. 124 means that no status came back.

set -eu

vm_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
vm_source=$(cd "$vm_here/../.." && pwd)
vm_cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/reeve
vm_suite=bookworm
vm_timeout=120
vm_memory=512M
vm_data=
vm_shares=()
vm_environment=()
vm_verbose=

vm_fail() {
    echo "${0##*/}: $*" >&2
    exit 125
}

# Options that all runners take; sets vm_command.
vm_options() {
    local o
    while getopts r:t:s:m:d:E:v o; do
        case $o in
            r) vm_suite=$OPTARG ;;
            t) vm_timeout=$OPTARG ;;
            s) vm_shares+=("$(realpath -e "$OPTARG")") ;;
            m) vm_memory=$OPTARG ;;
            d) vm_data=$OPTARG ;;
            E) vm_environment+=("$OPTARG") ;;
            v) vm_verbose=1 ;;
            *) vm_fail "usage: ${0##*/} [-r SUITE] [-t SECONDS] [-s DIRECTORY]... [-m MEMORY] [-d DATA-DISK-SIZE]" \
                "[-E NAME=VALUE]... [-v] -- COMMAND..." ;;
        esac
    done
    shift $((OPTIND - 1))
    [ $# -gt 0 ] || vm_fail "no command"
    vm_command=("$@")
    [ ${#vm_shares[@]} -gt 0 ] || vm_shares=("$vm_source")
}

# Makes the private directory of this run ($vm_run) with its control directory.
vm_prepare() {
    local root variable
    root=$("$vm_here/build-rootfs" "$vm_suite") || vm_fail "the root file system could not be built"
    vm_root=$root/root
    vm_image=$root/root.img
    vm_run=$(mktemp -d "${TMPDIR:-/tmp}/reeve-vm.XXXXXX")
    mkdir "$vm_run/ctl"
    {
        printf 'cd %q || exit 126\n' "$PWD"
        for variable in "${vm_environment[@]}"; do
            printf 'export %q\n' "$variable"
        done
        printf '%q ' "${vm_command[@]}"
        echo
    } >"$vm_run/ctl/cmd"
    printf '%s\n' "${vm_shares[@]}" >"$vm_run/ctl/shares"
    [ -z "$vm_data" ] || : >"$vm_run/ctl/data"
    cp "$vm_here/guest-run" "$vm_run/ctl/guest"
}

# Ends the runner with the command's status, or 124 and the end of the console.
vm_finish() {
    [ -z "$vm_verbose" ] || cat "$vm_run/console" >&2
    if [ -s "$vm_run/ctl/rc" ]; then
        exit "$(cat "$vm_run/ctl/rc")"
    fi
    echo "${0##*/}: no exit status from the guest (out of time after ${vm_timeout} s, or it crashed)" >&2
    tail -n 20 "$vm_run/console" >&2 || true
    exit 124
}
