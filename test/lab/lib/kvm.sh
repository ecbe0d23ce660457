# One nova-compute with libvirt, in availability zone "kvm" of RegionOne:
#
#   host side labkvm0 10.99.0.1/24 --veth-- labkvm1 --bridge brq..-- guests
#
# The bridge and the guests' taps are wired by neutron's linuxbridge agent,
# addresses are given by neutron's DHCP agent (dnsmasq in a namespace). Guests
# have no way out of the machine. Hardware acceleration is used if a guest

LIBVIRT_URI="qemu+unix:///system?socket=$RUN/libvirt/libvirt-sock"

write_kvm_conf() {
	local d=$ETC/r1 v=$VAR/kvm virt=$1
	mkdir -p "$d/nova" "$d/neutron" "$v"/{nova/instances,neutron,libvirt,lock} "$RUN/libvirt" "$ETC/libvirt"
	cat >"$d/nova/compute-kvm.conf" <<-E
	[DEFAULT]
	host = kvm-r1
	state_path = $v/nova
	instances_path = $v/nova/instances
	compute_driver = libvirt.LibvirtDriver
	vif_plugging_is_fatal = true
	vif_plugging_timeout = 60
	force_config_drive = true
	resume_guests_state_on_host_boot = true
	cpu_allocation_ratio = 8
	ram_allocation_ratio = 1
	reserved_host_memory_mb = 8192
	[libvirt]
	connection_uri = $LIBVIRT_URI
	virt_type = $virt
	cpu_mode = none
	use_virtio_for_bridges = true
	inject_partition = -2
	[oslo_concurrency]
	lock_path = $v/lock
	# we are root already: no sudo, no rootwrap
	[nova_sys_admin]
	helper_command = privsep-helper --config-file $d/nova/nova.conf --config-file $d/nova/compute-kvm.conf
	[vif_plug_linux_bridge_privileged]
	helper_command = privsep-helper --config-file $d/nova/nova.conf --config-file $d/nova/compute-kvm.conf
	[privsep_osbrick]
	helper_command = privsep-helper --config-file $d/nova/nova.conf --config-file $d/nova/compute-kvm.conf
	E
	cat >"$d/neutron/agents-kvm.conf" <<-E
	[DEFAULT]
	use_stderr = true
	log_color = false
	host = kvm-r1
	state_path = $v/neutron
	transport_url = $(rabbit_url 1)
	interface_driver = linuxbridge
	dhcp_driver = neutron.agent.linux.dhcp.Dnsmasq
	enable_isolated_metadata = false
	[linux_bridge]
	physical_interface_mappings = kvm:labkvm1
	[vxlan]
	enable_vxlan = false
	[securitygroup]
	firewall_driver = noop
	[agent]
	root_helper = env
	polling_interval = 1
	[privsep]
	helper_command = privsep-helper --config-file $d/neutron/agents-kvm.conf
	[experimental]
	linuxbridge = true
	[oslo_concurrency]
	lock_path = $v/lock
	$(messaging)
	E
	cat >"$ETC/libvirt/qemu.conf" <<-E
	user = "root"
	group = "root"
	security_driver = "none"
	cgroup_controllers = []
	namespaces = []
	remember_owner = 0
	stdio_handler = "file"
	E
	cat >"$ETC/libvirt/libvirtd.conf" <<-E
	auth_unix_ro = "none"
	auth_unix_rw = "none"
	log_outputs = "3:stderr"
	E
}

up_kvm() {
	local v=$VAR/kvm virt
	build_kvm_image
	virt=$(kvm_or_qemu)
	say "real guests run with virt_type=$virt"
	write_kvm_conf "$virt"
	if ! ip link show labkvm0 >/dev/null 2>&1; then
		ip link add labkvm0 type veth peer name labkvm1
		ip address add 10.99.0.1/24 dev labkvm0
	fi
	ip link set labkvm0 up; ip link set labkvm1 up
	# libvirt's paths are fixed: give it its own view of them
	start libvirtd unshare -m --propagation private bash -c "set -e
		mkdir -p /run/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt
		mount --bind $RUN/libvirt /run/libvirt
		mount --bind $v/libvirt /var/lib/libvirt
		mount --bind $ETC/libvirt /etc/libvirt
		exec libvirtd --config /etc/libvirt/libvirtd.conf"
	wait_for libvirtd virsh -c "$LIBVIRT_URI" version
	start neutron-linuxbridge neutron-linuxbridge-agent --config-file "$ETC/r1/neutron/agents-kvm.conf"
	start neutron-dhcp neutron-dhcp-agent --config-file "$ETC/r1/neutron/agents-kvm.conf"
	start nova-compute-kvm /usr/bin/python3 -c \
		'import sys; from nova.cmd.compute import main; sys.argv[0] = "nova-compute"; main()' \
		--config-file "$ETC/r1/nova/nova.conf" --config-file "$ETC/r1/nova/compute-kvm.conf"
	wait_for nova-compute-kvm sql_true "select count(*) from r1_nova.compute_nodes
		where host='kvm-r1' and deleted=0"
	wait_for neutron-linuxbridge sql_true "select count(*) from r1_neutron.agents
		where host='kvm-r1' and agent_type='Linux bridge agent'"
	wait_for neutron-dhcp sql_true "select count(*) from r1_neutron.agents
		where host='kvm-r1' and agent_type='DHCP agent'"
	map_host 1 kvm-r1
	contents kvm "$KVM_IMAGE"
}

# Guests and dnsmasq outlive the daemons that started them.
down_kvm() {
	local f n
	[ -e "$ETC/kvm-wanted" ] || return 0
	if alive libvirtd; then
		for n in $(virsh -c "$LIBVIRT_URI" list --name 2>/dev/null); do
			virsh -c "$LIBVIRT_URI" destroy "$n" >/dev/null 2>&1 || true
		done
	fi
	stop neutron-dhcp neutron-linuxbridge nova-compute-kvm libvirtd
	for f in "$VAR"/kvm/neutron/dhcp/*/pid; do
		[ ! -e "$f" ] || kill "$(cat "$f")" 2>/dev/null || true
	done
	for n in $(ip netns list 2>/dev/null | awk '/^qdhcp-/ {print $1}'); do
		[ ! -d "$VAR/kvm/neutron/dhcp/${n#qdhcp-}" ] || ip netns delete "$n" || true
	done
	for f in /sys/class/net/labkvm1/master/brif/*; do
		[ ! -e "$f" ] || ip link delete "${f##*/}" 2>/dev/null || true
	done
	for n in $(sql "select id from r1_neutron.networks where name='kvm-net'" 2>/dev/null || true); do
		ip link delete "brq${n:0:11}" 2>/dev/null || true
	done
	ip link delete labkvm0 2>/dev/null || true
}

cmd_kvm() {
	alive nova-api-r1 || die "the lab is not up"
	# shellcheck disable=SC2086
	apt_install $KVM_PKGS
	touch "$ETC/kvm-wanted"
	up_kvm
	say "boot one: openstack --os-cloud ci-r1 server create --availability-zone kvm \\
  --flavor lab.kvm --image kvm-image --network kvm-net --key-name lab-key NAME"
}
