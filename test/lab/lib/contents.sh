# What the cloud contains (made by contents.py) and the clients' clouds.yaml.

contents() { # contents identity ARGS | contents resources REGION KEY
	once "contents-$1" OS_CLIENT_CONFIG_FILE="$LAB_DIR/clouds.yaml" LAB_VAR="$VAR" \
		/usr/bin/python3 -B "$HERE/contents.py" "$@"
}

# region|type|name|url, one per line
catalogue() {
	local r n
	echo "RegionOne|identity|keystone|$AUTH_URL"
	for r in $(seq "$LAB_REGIONS"); do
		n=$(region_name "$r")
		[ "$r" = 1 ] || echo "$n|identity|keystone|$AUTH_URL"
		echo "$n|image|glance|http://$IP:$(port "$r" glance)"
		echo "$n|placement|placement|http://$IP:$(port "$r" placement)"
		echo "$n|compute|nova|http://$IP:$(port "$r" nova)/v2.1"
		echo "$n|network|neutron|http://$IP:$(port "$r" neutron)"
	done
	# RegionOne again, with a rate limit in front of its compute API
	echo "RegionLimited|identity|keystone|$AUTH_URL"
	echo "RegionLimited|image|glance|http://$IP:$(port 1 glance)"
	echo "RegionLimited|placement|placement|http://$IP:$(port 1 placement)"
	echo "RegionLimited|compute|nova|http://$IP:$LIMITED_PORT/v2.1"
	echo "RegionLimited|network|neutron|http://$IP:$(port 1 neutron)"
	if [ "$LAB_SWIFT" = 1 ]; then
		echo "RegionOne|object-store|swift|http://$IP:$(port 1 swift)/v1/AUTH_%(project_id)s"
	fi
	if [ "$LAB_CINDER" = 1 ]; then
		echo "RegionOne|volumev3|cinderv3|http://$IP:$(port 1 cinder)/v3/%(project_id)s"
	fi
}

write_clouds_yaml() {
	local r n
	cloud() { # NAME USER PROJECT REGION
		cat <<-E
		  $1:
		    auth:
		      auth_url: $AUTH_URL
		      username: $2
		      password: $PASS
		      project_name: $3
		      user_domain_name: Default
		      project_domain_name: Default
		    region_name: $4
		    identity_api_version: 3
		    interface: public
		E
	}
	{
		echo "clouds:"
		for r in $(seq "$LAB_REGIONS"); do
			n=$(region_name "$r")
			cloud "ci-r$r" ci ci "$n"
			cloud "ci-small-r$r" ci-small ci-small "$n"
			cloud "admin-r$r" admin admin "$n"
		done
		cloud ci-limited ci ci RegionLimited
	} >"$LAB_DIR/clouds.yaml"
}
