# SPDX-License-Identifier: LGPL-2.1-or-later
# bash completion for reeve: verbs and options from reeve's own help, ids from the registry.

_reeve_properties="AllowedCPUs= AllowedMemoryNodes= CPUAccounting= CPUQuota= CPUQuotaPeriodSec= CPUWeight=
    DefaultMemoryLow= DefaultMemoryMin= DeviceAllow= DevicePolicy= Environment= IOAccounting=
    IODeviceLatencyTargetSec= IODeviceWeight= IOReadBandwidthMax= IOReadIOPSMax= IOWeight= IOWriteBandwidthMax=
    IOWriteIOPSMax= IPAccounting= IPAddressAllow= IPAddressDeny= LimitAS= LimitCORE= LimitCPU= LimitDATA= LimitFSIZE=
    LimitLOCKS= LimitMEMLOCK= LimitMSGQUEUE= LimitNICE= LimitNOFILE= LimitNPROC= LimitRSS= LimitRTPRIO= LimitRTTIME=
    LimitSIGPENDING= LimitSTACK= ManagedOOMMemoryPressure= ManagedOOMMemoryPressureLimit= ManagedOOMPreference=
    ManagedOOMSwap= MemoryAccounting= MemoryHigh= MemoryLow= MemoryMax= MemoryMin= MemorySwapMax= MemoryZSwapMax=
    Nice= OOMScoreAdjust= RestrictNetworkInterfaces= SocketBindAllow= SocketBindDeny= StartupAllowedCPUs=
    StartupAllowedMemoryNodes= StartupCPUWeight= StartupIOWeight= StartupMemoryHigh= StartupMemoryMax=
    StartupMemorySwapMax= StartupMemoryZSwapMax= TasksAccounting= TasksMax= TimeoutStopSec= UMask= WorkingDirectory="

_reeve_verbs() {
    reeve --help 2>/dev/null | sed -n '/^Verbs:/,/^$/s/^  \([a-z][a-z-]*\).*/\1/p'
}

# The options of a verb; those with a value end in "=".
_reeve_options() {
    reeve help "$1" 2>/dev/null | sed -n 's/^  .\{3\}\(--[a-z-]*=\{0,1\}\).*/\1/p'
    reeve help "$1" 2>/dev/null | sed -n 's/^  \(-[A-Za-z0-9]\) .*/\1/p'
}

# Ids, newest first; those that can still be acted on for the verbs that act.
_reeve_ids() {
    local status=
    case $1 in
        attach | update | complete | fail | signal | cancel | freeze | thaw | hold | release | extend) status=--status=pending,active,verifying ;;
    esac
    reeve list --json=short --limit=100 $status 2>/dev/null | grep -o '"task_id":"[^"]*"' | cut -d'"' -f4
}

_reeve_words() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace
    fi
}

# The value of an option. False if nothing is known about it.
_reeve_value() {
    case $1 in
        --json) _reeve_words "short pretty off" "$2" ;;
        --backend) _reeve_words "cgroup scope process" "$2" ;;
        --status | -s) _reeve_words "pending active verifying completed failed cancelled lost" "${2##*,}" ;;
        --property | -p) _reeve_words "$_reeve_properties" "$2" ;;
        --slice) _reeve_words "$(systemctl list-units --type=slice --plain --no-legend 2>/dev/null | cut -d' ' -f1)" "$2" ;;
        --to) _reeve_words "$(_reeve_ids attach)" "$2" ;;
        --uid) mapfile -t COMPREPLY < <(compgen -u -- "$2") ;;
        --gid) mapfile -t COMPREPLY < <(compgen -g -- "$2") ;;
        --working-directory | -d) mapfile -t COMPREPLY < <(compgen -d -- "$2") ;;
        *) return 1 ;;
    esac
}

# Where the command of `reeve run` begins, 0 if it was not written yet.
_reeve_command_at() {
    local i
    for ((i = 2; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --) echo $((i + 1)) && return ;;
            # bash splits words at "="
            = | -*) ;;
            *)
                case ${COMP_WORDS[i - 1]} in
                    = | --* | -[STpEd]) ;;
                    *) echo "$i" && return ;;
                esac
                ;;
        esac
    done
    echo 0
}

_reeve() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]}
    COMPREPLY=()

    if ((COMP_CWORD == 1)); then
        _reeve_words "$(_reeve_verbs) --help --version" "$current"
        return
    fi
    if [[ $verb == run ]]; then
        local begin
        begin=$(_reeve_command_at)
        if ((begin > 0)); then
            if ((begin == COMP_CWORD)); then
                mapfile -t COMPREPLY < <(compgen -c -- "$current")
            else
                mapfile -t COMPREPLY < <(compgen -f -- "$current")
            fi
            return
        fi
    fi
    if [[ $current == = ]]; then
        current=
    elif [[ $previous == = ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    _reeve_value "$previous" "$current" && return
    if [[ $current == -* ]]; then
        _reeve_words "$(_reeve_options "$verb")" "$current"
        return
    fi
    case $verb in
        run) mapfile -t COMPREPLY < <(compgen -c -- "$current") ;;
        attach) _reeve_words "$(find /proc -maxdepth 1 -user "$EUID" -name '[0-9]*' -printf '%f ' 2>/dev/null)" "$current" ;;
        help) _reeve_words "$(_reeve_verbs)" "$current" ;;
        backup) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        log)
            case ${COMP_WORDS[2]} in
                verify | export) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
                show | prove) _reeve_words "$(_reeve_ids "$verb")" "$current" ;;
                *) ((COMP_CWORD > 2)) || _reeve_words "show verify prove checkpoint key export" "$current" ;;
            esac
            ;;
        policy)
            case ${COMP_WORDS[2]} in
                check) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
                explain) _reeve_words "$(_reeve_ids "$verb")" "$current" ;;
                *) ((COMP_CWORD > 2)) || _reeve_words "check explain show reload" "$current" ;;
            esac
            ;;
        show | update | complete | fail | wait | logs | signal | cancel | freeze | thaw | hold | release | extend)
            if [[ $verb == signal && $COMP_CWORD -gt 2 && $previous != -* ]]; then
                _reeve_words "$(compgen -A signal | sed -n '/JUNK/d; s/^SIG//p')" "$current"
            else
                _reeve_words "$(_reeve_ids "$verb")" "$current"
            fi
            ;;
    esac
}

complete -F _reeve reeve
