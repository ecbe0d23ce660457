# Daemons without systemd: each runs in a session of its own, its process group
# id is kept in $RUN/NAME.pid, its output in $LOG/NAME.log.

pid_of() { cat "$RUN/$1.pid" 2>/dev/null || true; }
alive() {
	local pid; pid=$(pid_of "$1")
	[ -n "$pid" ] && kill -0 "$pid" 2>/dev/null &&
		[ "$(ps -o state= -p "$pid" | cut -c1)" != Z ]
}

# After a reboot the recorded pids are other people's processes.
forget_before_reboot() {
	local boot; boot=$(cat /proc/sys/kernel/random/boot_id)
	if [ -e "$RUN/boot" ] && [ "$(cat "$RUN/boot")" != "$boot" ]; then rm -f "$RUN"/*.pid; fi
	echo "$boot" >"$RUN/boot"
}

# start NAME [VAR=value...] COMMAND... : runs in its own session with a clean
# environment. Does nothing when NAME already runs.
start() {
	local name=$1; shift
	alive "$name" && return 0
	setsid nohup env -i PATH="$PATH" LANG=C.UTF-8 HOME="$VAR/home" "$@" \
		>>"$LOG/$name.log" 2>&1 </dev/null &
	echo $! >"$RUN/$name.pid"
}

# wait_for NAME COMMAND... : until COMMAND succeeds; shows NAME's log if the
# daemon dies first or LAB_TIMEOUT passes.
wait_for() {
	local name=$1 end=$((SECONDS + LAB_TIMEOUT)); shift
	until alive "$name" && "$@" >/dev/null 2>&1; do
		if ! alive "$name"; then
			tail -n 40 "$LOG/$name.log" >&2
			die "$name died while starting (log: $LOG/$name.log)"
		fi
		if [ $SECONDS -ge $end ]; then
			tail -n 40 "$LOG/$name.log" >&2
			die "$name not ready after ${LAB_TIMEOUT}s (log: $LOG/$name.log)"
		fi
		sleep 0.3
	done
}

# once NAME COMMAND... : a one-shot command, with its output in NAME.log.
once() {
	local name=$1 rc=0 word; shift
	for word in "$@"; do case $word in *=*) ;; *) break ;; esac; done
	env -i PATH="$PATH" LANG=C.UTF-8 HOME="$VAR/home" "$@" \
		>>"$LOG/$name.log" 2>&1 </dev/null || rc=$?
	if [ $rc -ne 0 ]; then
		tail -n 40 "$LOG/$name.log" >&2
		die "$name: '$word' exited $rc (log: $LOG/$name.log)"
	fi
}

# stop NAME... : SIGTERM to each process group, SIGKILL after 20 seconds.
stop() {
	local n
	for n in "$@"; do signal TERM "$n"; done
	for _ in $(seq 100); do
		any_left "$@" || break
		sleep 0.2
	done
	for n in "$@"; do
		signal KILL "$n"
		rm -f "$RUN/$n.pid"
	done
}

# signal SIGNAL NAME : to the whole process group, if there is one.
signal() {
	local pid; pid=$(pid_of "$2")
	[ -z "$pid" ] || kill "-$1" -- "-$pid" 2>/dev/null || true
}

any_left() { # NAME... : is a process of any of these groups left?
	local n pid
	for n in "$@"; do
		pid=$(pid_of "$n")
		[ -z "$pid" ] || ! kill -0 -- "-$pid" 2>/dev/null || return 0
	done
	return 1
}

# Names of everything started and not stopped; *.own.pid are the daemons' own.
running() {
	local f
	for f in "$RUN"/*.pid; do
		[ -e "$f" ] || continue
		f=${f##*/}; f=${f%.pid}
		case $f in *.own) ;; *) echo "$f" ;; esac
	done
}

tcp_open() { (exec 3<>"/dev/tcp/$IP/$1") 2>/dev/null; }
http_up() { # any answer below 500 will do
	local code; code=$(curl --noproxy '*' -s -o /dev/null -m 10 -w '%{http_code}' "$1") || return 1
	[ "$code" -gt 0 ] && [ "$code" -lt 500 ]
}

# uwsgi NAME PORT PROCESSES THREADS WSGI-FILE [VAR=value...]
# "Connection: close" because uwsgi's http-socket closes after each answer, and
# a client that does not know would reuse the dead connection.
uwsgi_app() {
	local name=$1 port=$2 procs=$3 threads=$4 file=$5; shift 5
	start "$name" "$@" uwsgi --plugin python3 --http-socket "$IP:$port" \
		--wsgi-file "$file" --master --lazy-apps --need-app \
		--processes "$procs" --threads "$threads" --enable-threads \
		--buffer-size 65535 --listen 100 --die-on-term --no-orphans \
		--thunder-lock --disable-logging --add-header 'Connection: close' \
		--procname-prefix "$name "
}
