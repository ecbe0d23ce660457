# Keystone: one for both regions.

write_keystone_conf() {
	mkdir -p "$ETC/keystone" "$VAR/keystone/fernet" "$VAR/keystone/credential"
	cat >"$ETC/keystone/keystone.conf" <<-E
	[DEFAULT]
	use_stderr = true
	log_color = false
	[database]
	connection = $(db_url keystone)
	[token]
	provider = fernet
	expiration = $LAB_TOKEN_TTL
	[fernet_tokens]
	key_repository = $VAR/keystone/fernet
	[credential]
	key_repository = $VAR/keystone/credential
	[fernet_receipts]
	key_repository = $VAR/keystone/fernet
	[cache]
	enabled = true
	backend = dogpile.cache.memcached
	memcache_servers = $IP:$MEMCACHED_PORT
	[identity]
	# cheap password checks: this is a test lab on a small machine
	password_hash_rounds = 4
	[oslo_messaging_notifications]
	driver = noop
	E
}

up_keystone() {
	if [ ! -e "$VAR/keystone/fernet/0" ]; then
		once keystone-setup keystone-manage --config-file "$ETC/keystone/keystone.conf" \
			fernet_setup --keystone-user root --keystone-group root
		once keystone-setup keystone-manage --config-file "$ETC/keystone/keystone.conf" \
			credential_setup --keystone-user root --keystone-group root
	fi
	if ! have_db keystone || ! sql_true "select count(*) from keystone.local_user where name='admin'"; then
		once keystone-setup keystone-manage --config-file "$ETC/keystone/keystone.conf" \
			bootstrap --bootstrap-password "$PASS" --bootstrap-region-id RegionOne \
			--bootstrap-public-url "$AUTH_URL" --bootstrap-internal-url "$AUTH_URL" \
			--bootstrap-admin-url "$AUTH_URL"
	fi
	uwsgi_app keystone "$KEYSTONE_PORT" "$LAB_WORKERS" 2 /usr/bin/keystone-wsgi-public \
		OS_KEYSTONE_CONFIG_DIR="$ETC/keystone"
}
