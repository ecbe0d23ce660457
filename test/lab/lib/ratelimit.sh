# RegionLimited: RegionOne with a rate limit in front of its compute API.

# nginx in front of RegionOne's nova: N requests/second in all, a burst of B
# passes at once, everything above gets 429 with Retry-After.
up_limiter() { # RATE BURST
	local d=$VAR/nginx; mkdir -p "$d"
	echo "$1 $2" >"$ETC/ratelimit"
	cat >"$ETC/nginx.conf" <<-E
	daemon off;
	worker_processes 1;
	pid $RUN/nginx.own.pid;
	error_log stderr warn;
	events { worker_connections 1024; }
	http {
	    access_log off;
	    client_body_temp_path $d/body; proxy_temp_path $d/proxy;
	    fastcgi_temp_path $d/fastcgi; uwsgi_temp_path $d/uwsgi; scgi_temp_path $d/scgi;
	    limit_req_zone \$server_name zone=nova:1m rate=${1}r/s;
	    limit_req_status 429;
	    server {
	        listen $IP:$LIMITED_PORT;
	        server_name nova;
	        location / {
	            limit_req zone=nova burst=$2 nodelay;
	            proxy_pass http://$IP:$(port 1 nova);
	            proxy_set_header Host \$http_host;
	            proxy_read_timeout 300;
	            error_page 429 = @toomany;
	        }
	        location @toomany {
	            default_type application/json;
	            add_header Retry-After 1 always;
	            return 429 '{"overLimit": {"code": 429, "message": "This request was rate-limited.", "retryAfter": "1"}}';
	        }
	    }
	}
	E
	start nginx nginx -c "$ETC/nginx.conf" -e stderr
	wait_for nginx tcp_open "$LIMITED_PORT"
}

cmd_ratelimit() {
	local n=${1:?ratelimit needs requests per second}; local burst=${2:-$n}
	alive nova-api-r1 || die "the lab is not up"
	stop nginx
	up_limiter "$n" "$burst"
	say "RegionLimited: $n requests/s, burst $burst"
}
