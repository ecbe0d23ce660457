# Neutron: one per region.

write_neutron_conf() { # REGION
	local r=$1 d=$ETC/r$1 v=$VAR/r$1
	mkdir -p "$d/neutron/policy.d" "$v/neutron" "$v/lock"
	cp /etc/neutron/api-paste.ini "$d/neutron/"
	cat >"$d/neutron/neutron.conf" <<-E
	[DEFAULT]
	use_stderr = true
	log_color = false
	host = neutron-r$r
	state_path = $v/neutron
	bind_host = $IP
	bind_port = $(port "$r" neutron)
	api_workers = $LAB_WORKERS
	rpc_workers = 1
	rpc_state_report_workers = 0
	core_plugin = ml2
	service_plugins = router
	transport_url = $(rabbit_url "$r")
	auth_strategy = keystone
	api_paste_config = $d/neutron/api-paste.ini
	# tells nova about floating IPs, so that a server's "addresses" show them
	notify_nova_on_port_status_changes = true
	notify_nova_on_port_data_changes = true
	# see fake_agents
	agent_down_time = 2000000000
	allow_automatic_l3agent_failover = false
	[database]
	connection = $(db_url "r${r}_neutron")
	max_overflow = 100
	[ml2]
	type_drivers = local,flat,vlan,vxlan
	tenant_network_types = vxlan
	mechanism_drivers = linuxbridge
	extension_drivers = port_security
	[ml2_type_flat]
	flat_networks = public,kvm
	[ml2_type_vxlan]
	vni_ranges = 1:10000
	[experimental]
	linuxbridge = true
	[quotas]
	quota_network = 100
	quota_subnet = 100
	# unlimited, or nova would list every port of the project for each server
	quota_port = -1
	quota_router = 50
	quota_floatingip = 5000
	quota_security_group = 500
	quota_security_group_rule = 5000
	[oslo_concurrency]
	lock_path = $v/lock
	$(authtoken neutron "$r")
	$(account nova nova "$r")
	$(account placement placement "$r")
	$(messaging)
	E
}

# Neutron's linuxbridge driver binds a port only where an agent lives. The fake
# hypervisor has no wires to plug, so instead of an agent there is the record
# an agent would have written, with a heartbeat that never grows old.
fake_agents() { # REGION
	local host
	for host in fake spare; do fake_agent "$1" "$host-r$1"; done
}

fake_agent() { # REGION HOST
	local host=$2
	sql "insert ignore into agents (id, agent_type, \`binary\`, topic, host,
		admin_state_up, created_at, started_at, heartbeat_timestamp,
		configurations, \`load\`)
		values (uuid(), 'Linux bridge agent', 'neutron-linuxbridge-agent',
		'N/A', '$host', 1, utc_timestamp(), utc_timestamp(),
		'2037-01-01 00:00:00',
		'{\"tunnel_types\": [\"vxlan\"], \"tunneling_ip\": \"127.0.0.1\",
		\"bridge_mappings\": {\"public\": \"br-public\"}, \"devices\": 0}', 0)" \
		"r$1_neutron"
}

start_neutron() { # REGION
	start "neutron-r$1" neutron-server --config-file "$ETC/r$1/neutron/neutron.conf"
}

wait_neutron() { wait_for "neutron-r$1" http_up "http://$IP:$(port "$1" neutron)/"; }
