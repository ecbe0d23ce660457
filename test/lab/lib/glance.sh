# Glance: one per region, with directories as its stores. "tight" has room for 2 MiB.

write_glance_conf() { # REGION
	local r=$1 d=$ETC/r$1 v=$VAR/r$1
	mkdir -p "$d/glance/policy.d" "$v/lock" "$v"/glance/{images,second,tight,staging,tasks,work}
	cp /etc/glance/glance-api-paste.ini "$d/glance/"
	# in RegionOne anybody may copy images between stores, in others nobody but
	# an administrator, which is the default
	echo '{}' >"$d/glance/policy.d/copy.yaml"
	[ "$r" != 1 ] || echo '"copy_image": "role:admin or role:member"' >"$d/glance/policy.d/copy.yaml"
	cat >"$d/glance/glance-api.conf" <<-E
	[DEFAULT]
	use_stderr = true
	log_color = false
	bind_host = $IP
	bind_port = $(port "$r" glance)
	public_endpoint = http://$IP:$(port "$r" glance)
	workers = 1
	enabled_backends = file:file, second:file, tight:file
	enabled_import_methods = [glance-direct,web-download,copy-image]
	# the images of a "glance-direct" import wait here
	node_staging_uri = file://$v/glance/staging
	transport_url = $(rabbit_url "$r")
	[database]
	connection = $(db_url "r${r}_glance")
	[glance_store]
	default_backend = file
	[file]
	filesystem_store_datadir = $v/glance/images
	[second]
	filesystem_store_datadir = $v/glance/second
	[tight]
	filesystem_store_datadir = $v/glance/tight
	[os_glance_staging_store]
	filesystem_store_datadir = $v/glance/staging
	[os_glance_tasks_store]
	filesystem_store_datadir = $v/glance/tasks
	[task]
	work_dir = $v/glance/work
	[import_filtering_opts]
	# web-download from the tests' own HTTP servers, on any port; glance
	# refuses loopback and private addresses that are not named here
	allowed_ports = []
	allowed_hosts = [127.0.0.1,localhost,10.99.0.1]
	[paste_deploy]
	flavor = keystone
	config_file = $d/glance/glance-api-paste.ini
	[oslo_concurrency]
	lock_path = $v/lock
	$(authtoken glance "$r")
	$(messaging)
	E
}

# The file system of "tight" is glance's own, and goes with it.
start_glance() { # REGION
	# shellcheck disable=SC2016 # the inner shell expands them
	start "glance-r$1" unshare --mount sh -c \
		'mount -t tmpfs -o size=2m tight "$1" && exec /usr/bin/python3 -m glance.cmd.api --config-file "$2"' \
		sh "$VAR/r$1/glance/tight" "$ETC/r$1/glance/glance-api.conf"
}

wait_glance() { wait_for "glance-r$1" http_up "http://$IP:$(port "$1" glance)/"; }
