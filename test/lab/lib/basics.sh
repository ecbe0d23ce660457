# What the services stand on: MariaDB, RabbitMQ, memcached.

up_basics() {
	mkdir -p "$ETC" "$RUN" "$LOG" "$VAR/home"
	chmod 700 "$RUN"   # the database has no password
	chmod 755 "$LAB_DIR" "$VAR"   # dnsmasq reads its files as nobody
	if [ ! -d "$VAR/mysql/mysql" ]; then
		say "creating the database server's directory"
		once mysql-init LD_PRELOAD=libeatmydata.so mariadb-install-db --no-defaults --user=root \
			--datadir="$VAR/mysql" --auth-root-authentication-method=normal \
			--skip-test-db
	fi
	# Durability is off on purpose: the lab's data may be lost with the machine.
	start mysql LD_PRELOAD=libeatmydata.so mariadbd --no-defaults --user=root --datadir="$VAR/mysql" \
		--socket="$RUN/mysql.sock" --pid-file="$RUN/mysqld.own.pid" \
		--skip-networking --skip-log-bin --skip-name-resolve \
		--innodb-buffer-pool-size=256M --innodb-flush-log-at-trx-commit=0 \
		--innodb-doublewrite=0 --performance-schema=0 --max-connections=1000 \
		--character-set-server=utf8mb3 --collation-server=utf8mb3_general_ci

	# erlang's name server would otherwise start itself outside our control
	start epmd epmd -address "$IP" -port "$EPMD_PORT"
	mkdir -p "$ETC/rabbit" "$VAR/rabbit"
	cat >"$ETC/rabbit/rabbitmq.conf" <<-E
	listeners.tcp.1 = $IP:$RABBIT_PORT
	load_definitions = $ETC/rabbit/definitions.json
	log.console = true
	log.console.level = warning
	log.file = false
	disk_free_limit.absolute = 50MB
	collect_statistics_interval = 60000
	E
	cat >"$ETC/rabbit/definitions.json" <<-E
	{"users": [{"name": "lab", "password": "$PASS", "tags": "administrator"}],
	 "vhosts": [{"name": "r1"}, {"name": "r2"}],
	 "permissions": [
	  {"user": "lab", "vhost": "r1", "configure": ".*", "write": ".*", "read": ".*"},
	  {"user": "lab", "vhost": "r2", "configure": ".*", "write": ".*", "read": ".*"}]}
	E
	echo '[].' >"$ETC/rabbit/enabled_plugins"
	start rabbit HOME="$VAR/rabbit" ERL_EPMD_PORT="$EPMD_PORT" \
		RABBITMQ_CONF_ENV_FILE=/dev/null \
		RABBITMQ_NODENAME=lab@localhost RABBITMQ_DIST_PORT=25673 \
		RABBITMQ_CONFIG_FILE="$ETC/rabbit/rabbitmq" \
		RABBITMQ_ENABLED_PLUGINS_FILE="$ETC/rabbit/enabled_plugins" \
		RABBITMQ_MNESIA_BASE="$VAR/rabbit" RABBITMQ_LOG_BASE="$LOG" \
		RABBITMQ_PID_FILE="$RUN/rabbit.own.pid" \
		RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}" \
		/usr/lib/rabbitmq/bin/rabbitmq-server

	start memcached memcached -u root -l "$IP" -p "$MEMCACHED_PORT" -m 64 -t 1
	wait_for mysql sql 'select 1'
	wait_for memcached tcp_open "$MEMCACHED_PORT"
	wait_for rabbit tcp_open "$RABBIT_PORT"
}
