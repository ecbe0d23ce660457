# Nova: one per region, with its own fake hypervisor, and a small second one
# that is the availability zone "spare".

write_nova_conf() { # REGION
	local r=$1 d=$ETC/r$1 v=$VAR/r$1 name
	name=$(region_name "$r")
	mkdir -p "$d/nova/policy.d" "$v/nova" "$v/lock"
	cp /etc/nova/api-paste.ini "$d/nova/"
	cat >"$d/nova/nova.conf" <<-E
	[DEFAULT]
	use_stderr = true
	log_color = false
	my_ip = $IP
	host = api-r$r
	state_path = $v/nova
	transport_url = $(rabbit_url "$r")
	rpc_response_timeout = 180
	service_down_time = 300
	report_interval = 30
	# do not wait for neutron's "port plugged" event: there is no wire
	vif_plugging_is_fatal = false
	vif_plugging_timeout = 0
	# servers go to the fake hosts unless they ask for another zone
	default_schedule_zone = nova
	compute_driver = fake.FakeDriver
	max_concurrent_builds = 20
	# the fake host is 1000 CPUs, 800 GB RAM: overcommit it for thousands
	cpu_allocation_ratio = 100
	ram_allocation_ratio = 100
	disk_allocation_ratio = 100
	reserved_host_memory_mb = 0
	resume_guests_state_on_host_boot = false
	# periodic work that only costs CPU here
	heal_instance_info_cache_interval = -1
	sync_power_state_interval = -1
	update_resources_interval = 300
	bandwidth_poll_interval = 0
	volume_usage_poll_interval = 0
	image_cache_manager_interval = -1
	[api]
	auth_strategy = keystone
	[wsgi]
	api_paste_config = $d/nova/api-paste.ini
	[api_database]
	connection = $(db_url "r${r}_nova_api")
	[database]
	connection = $(db_url "r${r}_nova")
	max_overflow = 100
	[conductor]
	workers = 1
	[scheduler]
	workers = 1
	max_placement_results = 4
	[filter_scheduler]
	track_instance_changes = false
	# "nova" is the zone of hosts without one, and no zone to placement: only
	# this filter keeps servers that ask for it off the hosts of other zones
	enabled_filters = AvailabilityZoneFilter,ComputeFilter,ComputeCapabilitiesFilter,ImagePropertiesFilter,ServerGroupAntiAffinityFilter,ServerGroupAffinityFilter
	[quota]
	instances = 20
	[glance]
	region_name = $name
	service_type = image
	[cinder]
	os_region_name = $name
	[vnc]
	enabled = false
	[spice]
	enabled = false
	[oslo_concurrency]
	lock_path = $v/lock
	[cache]
	enabled = true
	backend = dogpile.cache.memcached
	memcache_servers = $IP:$MEMCACHED_PORT
	$(authtoken nova "$r")
	$(account placement placement "$r")
	$(account neutron neutron "$r")
	service_metadata_proxy = false
	$(account service_user nova "$r")
	send_service_user_token = true
	$(messaging)
	E
}

write_fake_compute() { # REGION
	local r=$1 d=$ETC/r$1
	# Nova's own main program, because the package with /usr/bin/nova-compute
	# pulls in libvirt and qemu, and because the fake driver must offer many
	# nodes: for each build nova asks placement about every server of the node,
	# so with a single node the time to create a server grows with their number.
	cat >"$ETC/nova-compute-fake.py" <<-E
	import os, sys
	from nova.cmd.compute import main
	from nova.virt import fake

	init_host = fake.FakeDriver.init_host
	def with_many_nodes(self, host):
	    init_host(self, host)
	    self._set_nodes(['%s-%03d' % (host, i) for i in range(int(os.environ['LAB_NODES']))])
	fake.FakeDriver.init_host = with_many_nodes
	sys.argv[0] = 'nova-compute'
	main()
	E
	# nova-compute is told apart only by its host name.
	local host
	for host in fake spare; do
		printf '[DEFAULT]\nhost = %s\n' "$host-r$r" >"$d/nova/compute-$host.conf"
	done
}

init_cells() { # REGION
	[ "$(sql "select count(*) from r$1_nova_api.cell_mappings")" -ge 2 ] && return 0
	local conf=$ETC/r$1/nova/nova.conf
	once "cells-r$1" nova-manage --config-file "$conf" cell_v2 map_cell0 \
		--database_connection "$(db_url "r$1_nova_cell0")"
	once "cells-r$1" nova-manage --config-file "$conf" cell_v2 create_cell --name cell1
}

start_nova() { # REGION
	local r=$1 d=$ETC/r$1/nova
	# It works on one call at a time, and waits for neutron and glance meanwhile.
	uwsgi_app "nova-api-r$r" "$(port "$r" nova)" "$((2 * LAB_WORKERS))" 1 /usr/bin/nova-api-wsgi \
		OS_NOVA_CONFIG_DIR="$d"
	start "nova-conductor-r$r" nova-conductor --config-file "$d/nova.conf"
	start "nova-scheduler-r$r" nova-scheduler --config-file "$d/nova.conf"
	start_fake "$r" "nova-compute-r$r" fake "$LAB_NODES"
	start_fake "$r" "nova-compute-spare-r$r" spare 2
}

start_fake() { # REGION NAME HOST NODES
	start "$2" LAB_NODES="$4" /usr/bin/python3 "$ETC/nova-compute-fake.py" \
		--config-file "$ETC/r$1/nova/nova.conf" --config-file "$ETC/r$1/nova/compute-$3.conf"
}

wait_nova() { # REGION
	local r=$1
	wait_for "nova-api-r$r" http_up "http://$IP:$(port "$r" nova)/"
	wait_serving "$r" "nova-conductor-r$r" nova-conductor
	wait_serving "$r" "nova-scheduler-r$r" nova-scheduler
	wait_compute "$r" "nova-compute-r$r" "fake-r$r"
	wait_compute "$r" "nova-compute-spare-r$r" "spare-r$r"
}

wait_compute() { # REGION NAME HOST
	wait_serving "$1" "$2" nova-compute "$3"
	map_host "$1" "$3"
}

# wait_serving REGION NAME BINARY [HOST] : a daemon of nova takes requests from
# its queue only after it has prepared itself, nova-compute after it has told
# placement about every node. Its records in the database are older than that,
# or from an earlier life; its heartbeat begins when it serves.
wait_serving() {
	wait_for "$2" sql_true "select count(*) from r$1_nova.services where \`binary\`='$3'
		and '${4:-}' in ('', host) and last_seen_up > '$(date -u -r "$RUN/$2.pid" '+%F %T')'"
}

# map_host REGION HOST : nova schedules to a host only after its cell knows it.
map_host() {
	sql_true "select count(*) from r$1_nova_api.host_mappings where host='$2'" && return 0
	once "cells-r$1" nova-manage --config-file "$ETC/r$1/nova/nova.conf" \
		cell_v2 discover_hosts --by-service
}
