# The databases of all services, made once.

sql() { mariadb --no-defaults -u root -S "$RUN/mysql.sock" -N -B -e "$1" ${2:+"$2"}; }
sql_true() { [ "$(sql "$1")" != 0 ]; }
have_db() { sql_true "select count(*) from information_schema.tables where table_schema='$1'"; }
create_db() { sql "create database if not exists \`$1\` character set utf8mb3"; }

# Creating the tables by migrations is slow, so it is done for RegionOne only,
# and the empty, migrated databases are copied.
copy_db() {
	create_db "$2"
	mariadb-dump --no-defaults -u root -S "$RUN/mysql.sock" "$1" |
		mariadb --no-defaults -u root -S "$RUN/mysql.sock" "$2"
}

init_databases() {
	[ -e "$VAR/databases-made" ] && return 0
	say "creating the databases (first start only)"
	local db
	for db in keystone r1_placement r1_glance r1_nova_api r1_nova r1_neutron; do
		sql "drop database if exists \`$db\`"
		create_db "$db"
	done
	# One-shot commands in parallel; each writes its own log.
	local pids=() p
	once db-neutron neutron-db-manage --config-file "$ETC/r1/neutron/neutron.conf" upgrade heads & pids+=($!)
	{
		once db-keystone keystone-manage --config-file "$ETC/keystone/keystone.conf" db_sync
		once db-placement placement-manage --config-file "$ETC/r1/placement/placement.conf" db sync
		once db-glance glance-manage --config-file "$ETC/r1/glance/glance-api.conf" db_sync
		once db-nova-api nova-manage --config-file "$ETC/r1/nova/nova.conf" api_db sync
		once db-nova nova-manage --config-file "$ETC/r1/nova/nova.conf" db sync --local_cell
	} & pids+=($!)
	local failed="" r
	for p in "${pids[@]}"; do wait "$p" || failed=1; done
	[ -z "$failed" ] || die "creating the databases"
	for r in 1 2; do
		[ "$r" = 1 ] || for db in placement glance nova_api nova neutron; do
			sql "drop database if exists r${r}_$db"
			copy_db "r1_$db" "r${r}_$db"
		done
		sql "drop database if exists r${r}_nova_cell0"
		copy_db r1_nova "r${r}_nova_cell0"
	done
	touch "$VAR/databases-made"
}
