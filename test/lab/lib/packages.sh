# Debian packages, installed without starting their daemons: the lab starts its own.

CORE_PKGS="mariadb-server-core mariadb-client rabbitmq-server memcached
	uwsgi-core uwsgi-plugin-python3 python3-pymysql python3-memcache libeatmydata1
	python3-sqlalchemy-ext
	python3-keystone glance-common python3-glance placement-common
	python3-placement nova-common nova-conductor nova-scheduler
	neutron-common python3-openstackclient nginx-light curl iproute2
	openssh-client procps"
SWIFT_PKGS="swift-proxy swift-account swift-container swift-object"
CINDER_PKGS="cinder-common cinder-api cinder-scheduler cinder-volume open-iscsi"
KVM_PKGS="libvirt-daemon-system libvirt-clients python3-libvirt
	qemu-system-x86 qemu-utils neutron-linuxbridge-agent
	neutron-dhcp-agent dnsmasq-base iptables ebtables ipset bridge-utils
	genisoimage debootstrap e2fsprogs"

apt_install() {
	local missing=() p mine=""
	for p in "$@"; do
		dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null |
			grep -qx installed || missing+=("$p")
	done
	[ ${#missing[@]} -eq 0 ] && return 0
	[ "$(id -u)" = 0 ] || die "install needs root for: ${missing[*]}"
	mkdir -p "$LOG"
	# Packages must not start their daemons: the lab starts its own.
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
		chmod 755 /usr/sbin/policy-rc.d
		mine=1
	fi
	say "apt-get install ${missing[*]}"
	local rc=0
	apt-get install -y -q --no-install-recommends \
		-o Dpkg::Options::=--force-confold \
		-o Dpkg::Options::=--force-unsafe-io \
		-o Dpkg::Use-Pty=0 "${missing[@]}" \
		>>"$LOG/apt.log" 2>&1 </dev/null || rc=$?
	[ -z "$mine" ] || rm -f /usr/sbin/policy-rc.d
	if [ $rc -ne 0 ]; then
		tail -n 40 "$LOG/apt.log" >&2
		die "apt-get install (log: $LOG/apt.log; has apt-get update been run?)"
	fi
}

cmd_install() {
	local pkgs=$CORE_PKGS
	[ "$LAB_SWIFT" != 1 ] || pkgs+=" $SWIFT_PKGS"
	[ "$LAB_CINDER" != 1 ] || pkgs+=" $CINDER_PKGS"
	# shellcheck disable=SC2086
	apt_install $pkgs "$@"
	say "installed"
}
