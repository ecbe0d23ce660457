# Swift, in RegionOne: one replica in a directory.

up_swift() {
	local d=$ETC/swift v=$VAR/swift s p
	mkdir -p "$d" "$v/dev/d1" "$v/cache"
	# Rings with a single device and a single replica, in a plain directory.
	# (/etc/swift/swift.conf of the package is used as it is: its path is fixed.)
	p=16200
	for s in object container account; do
		if [ ! -e "$d/$s.ring.gz" ]; then
			rm -f "$d/$s.builder"
			once swift-rings swift-ring-builder "$d/$s.builder" create 6 1 0
			once swift-rings swift-ring-builder "$d/$s.builder" add \
				--region 1 --zone 1 --ip "$IP" --port "$p" --device d1 --weight 1
			once swift-rings swift-ring-builder "$d/$s.builder" rebalance
		fi
		cat >"$d/$s-server.conf" <<-E
		[DEFAULT]
		bind_ip = $IP
		bind_port = $p
		user = root
		swift_dir = $d
		devices = $v/dev
		mount_check = false
		workers = 1
		[pipeline:main]
		pipeline = healthcheck $s-server
		[app:$s-server]
		use = egg:swift#$s
		log_requests = false
		[filter:healthcheck]
		use = egg:swift#healthcheck
		E
		start "swift-$s" "swift-$s-server" "$d/$s-server.conf" -v
		p=$((p + 1))
	done
	cat >"$d/proxy-server.conf" <<-E
	[DEFAULT]
	bind_ip = $IP
	bind_port = $(port 1 swift)
	user = root
	swift_dir = $d
	workers = 1
	[pipeline:main]
	pipeline = catch_errors gatekeeper healthcheck cache listing_formats bulk tempurl authtoken keystoneauth copy slo dlo versioned_writes proxy-server
	[app:proxy-server]
	use = egg:swift#proxy
	account_autocreate = true
	[filter:authtoken]
	paste.filter_factory = keystonemiddleware.auth_token:filter_factory
	delay_auth_decision = true
	$(authtoken swift 1 | tail -n +2)
	[filter:keystoneauth]
	use = egg:swift#keystoneauth
	operator_roles = admin, member
	[filter:cache]
	use = egg:swift#memcache
	memcache_servers = $IP:$MEMCACHED_PORT
	[filter:catch_errors]
	use = egg:swift#catch_errors
	[filter:gatekeeper]
	use = egg:swift#gatekeeper
	[filter:healthcheck]
	use = egg:swift#healthcheck
	[filter:listing_formats]
	use = egg:swift#listing_formats
	[filter:bulk]
	use = egg:swift#bulk
	[filter:tempurl]
	use = egg:swift#tempurl
	[filter:copy]
	use = egg:swift#copy
	[filter:slo]
	use = egg:swift#slo
	[filter:dlo]
	use = egg:swift#dlo
	[filter:versioned_writes]
	use = egg:swift#versioned_writes
	allow_versioned_writes = true
	E
	start swift-proxy swift-proxy-server "$d/proxy-server.conf" -v
}

wait_swift() { wait_for swift-proxy http_up "http://$IP:$(port 1 swift)/healthcheck"; }
