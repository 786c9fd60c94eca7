#!/usr/bin/env bash
# bench/dist/hosts.sh HOSTS RATE PROGRAM [ARGUMENT...]: runs a program by mpirun with one rank on each of so many
# hosts, which are network namespaces of this machine, linked at RATE (tc's: 1gbit, 100mbit). As root.
set -euo pipefail
hosts=$1
rate=$2
shift 2
folder=$(mktemp -d)
name=qlora$$
clean() {
  for ((h = 1; h <= hosts; ++h)); do ip netns del "$name-$h" 2>/dev/null || true; done
  ip link del "$name" 2>/dev/null || true
  rm -rf "$folder"
}
trap clean EXIT

# A bridge, and a link to it from each host, which lets the host's messages out at RATE.
ip link add "$name" type bridge
ip link set "$name" up
for ((h = 1; h <= hosts; ++h)); do
  ip netns add "$name-$h"
  ip link add "$name-$h" type veth peer name eth0 netns "$name-$h"
  ip link set "$name-$h" master "$name" up
  ip -n "$name-$h" addr add "10.77.0.$h/24" dev eth0
  ip -n "$name-$h" link set lo up
  ip -n "$name-$h" link set eth0 up
  ip netns exec "$name-$h" tc qdisc add dev eth0 root tbf rate "$rate" burst 64kb latency 100ms
  echo "10.77.0.$h slots=1" >>"$folder/hosts"
done

# How mpirun reaches a host: by its namespace, and under a name of its own, or Open MPI would take
# all of them for one machine.
cat >"$folder/enter" <<EOF
#!/usr/bin/env bash
host=\${1##*.}
shift
exec unshare --uts bash -c 'hostname "host-\$0"; exec ip netns exec "$name-\$0" bash -c "\$*"' "\$host" "\$@"
EOF
chmod +x "$folder/enter"

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
command=(mpirun --hostfile "$folder/hosts" --map-by node --bind-to none --mca plm_rsh_agent "$folder/enter"
  --mca btl tcp,self --mca btl_tcp_if_include eth0 --mca oob_tcp_if_include eth0 "$@")
"$folder/enter" 10.77.0.1 "$(printf '%q ' "${command[@]}")"
