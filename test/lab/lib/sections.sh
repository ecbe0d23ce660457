# Sections and addresses that the configuration of most services shares.

db_url() { echo "mysql+pymysql://root@localhost/$1?unix_socket=$RUN/mysql.sock"; }
rabbit_url() { echo "rabbit://lab:$PASS@$IP:$RABBIT_PORT/r$1"; }

# Sections most services share. $1: service user, $2: region index
authtoken() {
	cat <<-E
	[keystone_authtoken]
	www_authenticate_uri = http://$IP:$KEYSTONE_PORT
	auth_url = http://$IP:$KEYSTONE_PORT
	auth_type = password
	username = $1
	password = $PASS
	project_name = service
	user_domain_name = Default
	project_domain_name = Default
	region_name = $(region_name "$2")
	memcached_servers = $IP:$MEMCACHED_PORT
	service_token_roles = service,admin
	service_token_roles_required = true
	E
}

# A [section] with a service account, for calls to other services.
account() {
	cat <<-E
	[$1]
	auth_url = http://$IP:$KEYSTONE_PORT
	auth_type = password
	username = $2
	password = $PASS
	project_name = service
	user_domain_name = Default
	project_domain_name = Default
	region_name = $(region_name "$3")
	E
}

messaging() {
	cat <<-E
	[oslo_messaging_notifications]
	driver = noop
	[oslo_messaging_rabbit]
	heartbeat_in_pthread = false
	E
}
