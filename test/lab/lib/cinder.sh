# Cinder, in RegionOne, with its own fake driver.

up_cinder() {
	local d=$ETC/r1/cinder v=$VAR/r1/cinder
	mkdir -p "$d/policy.d" "$ETC/python" "$v"
	cp /etc/cinder/api-paste.ini /etc/cinder/resource_filters.json "$d/"
	# Cinder's own fake driver keeps no data; it lacks only the copying of an
	# image, so that a server can boot from a volume.
	cat >"$ETC/python/lab_cinder.py" <<-E
	from cinder.tests.fake_driver import FakeLoggingVolumeDriver

	class Driver(FakeLoggingVolumeDriver):
	    def clone_image(self, context, volume, image_location, image_meta, image_service):
	        return {}, True
	    def copy_volume_to_image(self, *args, **kwargs):
	        raise NotImplementedError('the lab keeps no volume data')
	    def extend_volume(self, volume, new_size):
	        pass
	E
	cat >"$d/cinder.conf" <<-E
	[DEFAULT]
	use_stderr = true
	log_color = false
	host = cinder-r1
	my_ip = $IP
	state_path = $v
	osapi_volume_listen = $IP
	osapi_volume_listen_port = $(port 1 cinder)
	osapi_volume_workers = 1
	api_paste_config = $d/api-paste.ini
	resource_query_filters_file = $d/resource_filters.json
	transport_url = $(rabbit_url 1)
	glance_api_servers = http://$IP:$(port 1 glance)
	auth_strategy = keystone
	enabled_backends = fake
	[fake]
	volume_driver = lab_cinder.Driver
	volume_backend_name = fake
	[database]
	connection = $(db_url r1_cinder)
	[coordination]
	backend_url = file://$v/coordination
	[oslo_concurrency]
	lock_path = $VAR/r1/lock
	$(authtoken cinder 1)
	$(account service_user cinder 1)
	send_service_user_token = true
	$(account nova nova 1)
	$(messaging)
	E
	if ! have_db r1_cinder; then
		create_db r1_cinder
		once db-cinder cinder-manage --config-file "$d/cinder.conf" db sync
	fi
	start cinder-api cinder-api --config-file "$d/cinder.conf"
	start cinder-scheduler cinder-scheduler --config-file "$d/cinder.conf"
	start cinder-volume PYTHONPATH="$ETC/python" cinder-volume --config-file "$d/cinder.conf"
}

wait_cinder() {
	wait_for cinder-api http_up "http://$IP:$(port 1 cinder)/"
	wait_for cinder-volume sql_true "select count(*) from r1_cinder.services
		where \`binary\`='cinder-volume' and updated_at > utc_timestamp() - interval 60 second"
}
