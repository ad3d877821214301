#!/usr/bin/env bash
# Cut the running cluster of docker/compose.yaml into groups, on the network of the peers only: clients still reach every node.
#
#   docker/partition.sh cut n1,n2 n3,n4,n5     no packet passes between the groups; within each, all do
#   docker/partition.sh cut n1,n2              the same: the second group is all others
#   docker/partition.sh cut --one-way n1 n2    packets from n1 to n2 are dropped, those from n2 to n1 pass
#   docker/partition.sh cut --disconnect n3    take one node out of the network (docker network disconnect)
#   docker/partition.sh heal                   undo all of it
#   docker/partition.sh status                 who does not hear whom, and how many packets that cost
#
# A node is named by its service (n1), by service and number (node.2), or by its container; `node` names all of that
# service. The rules are iptables' and stand in the containers' network namespaces: a container that restarts begins
# without them. A cut replaces the cut before it. Needs root on the machine of the engine, nsenter and iptables.
# The project is $COMPOSE_PROJECT_NAME, or `docker`, as Compose names it after the folder.
set -euo pipefail

PROJECT=${COMPOSE_PROJECT_NAME:-docker}
CHAIN=KVGOSSIP_CUT

fail() { echo "partition: $*" >&2; exit 1; }
usage() { sed -n '/^#   docker/s/^# //p' "$0" >&2; exit 2; }

declare -a ids=() names=()
declare -A label=() pid=() address=()

read_cluster() { # every running container that has the peers' network in its service, with its address there
    local id service number place name
    network=$(docker network ls --quiet --no-trunc --filter "label=com.docker.compose.project=$PROJECT" \
        --filter label=com.docker.compose.network=peers)
    [ -n "$network" ] || fail "project $PROJECT has no network of peers: is it up? COMPOSE_PROJECT_NAME names another one"
    while IFS='|' read -r id name service number place; do
        case $service in n[0-9]* | node) ;; *) continue ;; esac
        label[$id]=$service
        [ "$service" != node ] || label[$id]=$service.$number
        pid[$id]=${place%% *}
        address[$id]=$(awk -v RS=' ' -F= -v network="$network" '$1 == network { print $2 }' <<<"${place#* } ")
        ids+=("$id")
        names+=("${label[$id]}")
    done < <(docker ps --quiet --no-trunc --filter "label=com.docker.compose.project=$PROJECT" |
        xargs --no-run-if-empty docker inspect --format '{{.Id}}|{{.Name}}|{{index .Config.Labels "com.docker.compose.service"}}|{{index .Config.Labels "com.docker.compose.container-number"}}|{{.State.Pid}}{{range .NetworkSettings.Networks}} {{.NetworkID}}={{.IPAddress}}{{end}}' |
        sort -t'|' -k3,3V -k4,4n)
    [ ${#ids[@]} -gt 0 ] || fail "no node of project $PROJECT runs"
}

find_nodes() { # the ids that a word names, one a line
    local word=$1 id found=
    for id in "${ids[@]}"; do
        if [ "${label[$id]}" = "$word" ] || [ "${label[$id]%.*}" = "$word" ] || [[ $id == "$word"* && ${#word} -ge 6 ]] ||
            [ "$(docker inspect --format '{{.Name}}' "$id")" = "/$word" ]; then
            echo "$id"
            found=1
        fi
    done
    [ -n "$found" ] || fail "no node $word runs in project $PROJECT: there are$(printf ' %s' "${names[@]}")"
}

find_group() {
    local word
    for word in ${1//,/ }; do find_nodes "$word"; done
}

inside() { # run in the network namespace of a container
    local id=$1
    shift
    nsenter --target "${pid[$id]}" --net "$@"
}

deafen() { # the first hears nothing from the others any more
    local id=$1 other rules
    shift
    rules=$(for other in "$@"; do
        [ -z "${address[$other]}" ] || echo "-A $CHAIN -s ${address[$other]} -j DROP"
    done)
    inside "$id" iptables -w -C INPUT -j "$CHAIN" 2>/dev/null || inside "$id" sh -c "iptables -w -N $CHAIN && iptables -w -I INPUT -j $CHAIN"
    inside "$id" iptables-restore -w --noflush <<<"*filter
$rules
COMMIT"
}

clear_rules() {
    local id
    for id in "${ids[@]}"; do
        if inside "$id" iptables -w -C INPUT -j "$CHAIN" 2>/dev/null; then
            inside "$id" sh -c "iptables -w -D INPUT -j $CHAIN && iptables -w -F $CHAIN && iptables -w -X $CHAIN"
        fi
    done
}

cut() {
    local way=both
    case ${1:-} in
        --one-way) way=one; shift ;;
        --disconnect)
            [ $# = 2 ] || usage
            disconnect "$2"
            return
            ;;
        -*) usage ;;
    esac
    [ $# -ge 1 ] || usage
    [ "$way" = both ] || [ $# = 2 ] || usage
    local -a groups=()
    local -A group_of=()
    local word id members number=0
    for word in "$@"; do
        members=$(find_group "$word")
        groups+=("$members")
        for id in $members; do
            [ -z "${group_of[$id]:-}" ] || fail "${label[$id]} is named twice"
            group_of[$id]=$number
        done
        number=$((number + 1))
    done
    if [ $# = 1 ]; then
        groups+=("$(for id in "${ids[@]}"; do [ -n "${group_of[$id]:-}" ] || echo "$id"; done)")
        [ -n "${groups[1]}" ] || fail "$1 is the whole cluster: there is nobody to cut it from"
    fi
    clear_rules
    local here there
    for here in "${!groups[@]}"; do
        for there in "${!groups[@]}"; do
            [ "$here" != "$there" ] || continue
            [ "$way" = both ] || [ "$here" = 1 ] || continue
            # shellcheck disable=SC2086  # ids, one a word
            for id in ${groups[$here]}; do deafen "$id" ${groups[$there]}; done
        done
    done
}

disconnect() {
    local id
    id=$(find_nodes "$1")
    [ "$(wc -l <<<"$id")" = 1 ] || fail "$1 names several nodes: disconnect one"
    docker network disconnect "$network" "$id"
}

reconnect() { # with the address that the node advertises, since it listens there
    local id=$1 own
    own=$(docker exec "$id" kvgossip members -o plain | awk -F'\t' '$3 == "itself" { sub(/:[0-9]+$/, "", $9); print $9 }')
    docker network connect --ip "$own" --alias peers --alias "${label[$id]%.*}" "$network" "$id" ||
        fail "${label[$id]} cannot have its address $own back: connect it as it is, and restart it"
}

heal() {
    local id
    clear_rules
    for id in "${ids[@]}"; do
        [ -n "${address[$id]}" ] || reconnect "$id"
    done
}

status() {
    local id other listed dropped deaf
    for id in "${ids[@]}"; do
        if [ -z "${address[$id]}" ]; then
            echo "${label[$id]}: disconnected"
            continue
        fi
        listed=$(inside "$id" iptables -w -n -v -x -L "$CHAIN" 2>/dev/null || true)
        deaf=$(for other in "${ids[@]}"; do
            ! grep -qwF -- "${address[$other]:-nowhere}" <<<"$listed" || printf ' %s' "${label[$other]}"
        done)
        dropped=$(awk '$3 == "DROP" { sum += $1 } END { print sum + 0 }' <<<"$listed")
        if [ -n "$deaf" ]; then
            echo "${label[$id]}: does not hear$deaf ($dropped packets dropped)"
        else
            echo "${label[$id]}: hears all"
        fi
    done
}

case ${1:-} in cut | heal | status) ;; *) usage ;; esac
[ "$(id -u)" = 0 ] || fail "rules in the containers' namespaces need root"
for program in docker nsenter iptables; do
    command -v "$program" >/dev/null || fail "$program is missing on this machine"
done
read_cluster
"$@"
