# Placement: one per region.

write_placement_conf() { # REGION
	local r=$1 d=$ETC/r$1
	mkdir -p "$d/placement/policy.d" # empty: only the defaults in the code count, not /etc
	cat >"$d/placement/placement.conf" <<-E
	[DEFAULT]
	use_stderr = true
	log_color = false
	[placement]
	# spread servers over the many fake nodes, looking at a few per request
	randomize_allocation_candidates = true
	[placement_database]
	connection = $(db_url "r${r}_placement")
	$(authtoken placement "$r")
	E
}

start_placement() { # REGION
	uwsgi_app "placement-r$1" "$(port "$1" placement)" 1 4 /usr/bin/placement-api \
		OS_PLACEMENT_CONFIG_DIR="$ETC/r$1/placement"
}

wait_placement() { wait_for "placement-r$1" http_up "http://$IP:$(port "$1" placement)/"; }
