# What every piece of the lab needs to know: where things are, on which ports,
# and how to say so. The settings LAB_* are in the main script.

ETC=$LAB_DIR/etc VAR=$LAB_DIR/var RUN=$LAB_DIR/run LOG=$LAB_DIR/log
IP=127.0.0.1
PASS=lab                       # every account of the lab has this password
RABBIT_PORT=5673 EPMD_PORT=4370 MEMCACHED_PORT=11212 KEYSTONE_PORT=5000
LIMITED_PORT=8784              # nginx in front of RegionOne's nova
AUTH_URL=http://$IP:$KEYSTONE_PORT/v3

# Ports of the per-region services: the usual ones, +10000 in RegionTwo.
port() { # port REGION SERVICE
	local base
	case $2 in
	nova) base=8774 ;; placement) base=8778 ;; glance) base=9292 ;;
	neutron) base=9696 ;; cinder) base=8776 ;; swift) base=8888 ;;
	esac
	echo $((base + ($1 - 1) * 10000))
}

region_name() { case $1 in 1) echo RegionOne ;; 2) echo RegionTwo ;; esac; }

say() { printf '%s %s\n' "$(date +%T)" "$*" >&2; }
die() { say "FAILED: $*"; exit 1; }
