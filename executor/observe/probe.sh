# Looks at one node as the owner of the instance, and changes nothing there.
#
# Output: a line "name=value" for each fact. A value that has line breaks goes on
# in lines that begin with "|". A line "@name" begins the content of a file, whose
# lines follow, each behind a "|". The last line is "end=1".
#
# What stands before this script sets files_awk, and sql where psql is to be run.

export LC_ALL=C
nl='
'

emit() { # name value
	v=$2
	k=$1=
	while :; do
		case $v in
		*"$nl"*)
			printf '%s%s\n' "$k" "${v%%"$nl"*}"
			v=${v#*"$nl"}
			k='|'
			;;
		*) break ;;
		esac
	done
	printf '%s%s\n' "$k" "$v"
}

# A path below a directory that cannot be searched seems absent, and may not be.
hidden() { # path -> status 0 when nobody can tell whether the path is there
	[ -e "$1" ] || [ -L "$1" ] && return 1
	p=$1
	while :; do
		p=${p%/*}
		[ -n "$p" ] || return 1
		if [ -e "$p" ] || [ -L "$p" ]; then
			[ -d "$p" ] && [ ! -x "$p" ] && {
				hider=$p
				return 0
			}
			return 1
		fi
	done
}

os_release() {
	id='' like='' pretty=''
	for f in /etc/os-release /usr/lib/os-release; do
		[ -r "$f" ] || continue
		while IFS= read -r line || [ -n "$line" ]; do
			val=${line#*=}
			case $val in
			\"*\") val=${val#\"} val=${val%\"} ;;
			\'*\') val=${val#\'} val=${val%\'} ;;
			esac
			case $line in
			ID=*) id=$val ;;
			ID_LIKE=*) like=$val ;;
			PRETTY_NAME=*) pretty=$val ;;
			esac
		done <"$f"
		break
	done
	family=other
	case " $id $like " in
	*' debian '* | *' ubuntu '*) family=debian ;;
	*' rhel '* | *' fedora '* | *' centos '*) family=rhel ;;
	esac
	emit family "$family"
	emit os "${pretty:-$id}"
}

machine() {
	line=''
	if [ -r /proc/sys/kernel/arch ] && [ -r /proc/sys/kernel/hostname ]; then # saves a process, from Linux 6.1 on
		IFS= read -r host </proc/sys/kernel/hostname
		IFS= read -r line </proc/sys/kernel/arch
		emit uname "$host $line"
	else
		emit uname "$(uname -nm)"
	fi
}

home_of_owner() {
	case $owner in
	'' | *[!A-Za-z0-9_.-]* | -*) home='' ;;
	*) eval "home=~$owner" ;;
	esac
	case $home in
	/*) ;;
	*)
		home=$(getent passwd -- "$owner")
		home=${home%:*}
		home=${home##*:}
		;;
	esac
	emit home "$home"
}

binaries() {
	bin=''
	for d in "$want_bin" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin; do
		[ -n "$d" ] && [ -x "$d/postgres" ] && [ -x "$d/pg_controldata" ] && server_binaries "$d"
	done
	if [ -z "$bin" ] && [ -z "$want_bin" ] && command -v pg_config >/dev/null 2>&1; then
		d=$(pg_config --bindir 2>/dev/null)
		[ -x "$d/postgres" ] && [ -x "$d/pg_controldata" ] && server_binaries "$d"
	fi
	emit bin "$bin"
}

server_binaries() { # directory
	# The program with the least to load; it comes in one package with the server.
	out=$("$1/pg_controldata" -V 2>/dev/null) || return
	emit package "$out"
	out=${out#*) }
	[ -z "$bin" ] && [ "${out%%[!0-9]*}" = "$major" ] && bin=$1
	[ "${out%%[!0-9]*}" = "$have" ] && have_bin=$1
}

# By convention, unless declared. What the server was last started with comes before
# the convention of the distribution.
config_dir() {
	config=$want_config
	[ -n "$config" ] && return
	config=$data
	if [ -r "$data/postmaster.opts" ]; then
		IFS= read -r line <"$data/postmaster.opts"
		case $line in
		*'"config_file='/*)
			line=${line#*'"config_file='}
			line=${line%%'"'*}
			[ -f "$line" ] && {
				config=${line%/*}
				return
			}
			;;
		esac
	fi
	[ -f "$data/postgresql.conf" ] && return
	case $family:$data in
	"debian:/var/lib/postgresql/$major/"*)
		name=${data#"/var/lib/postgresql/$major/"}
		case $name in
		'' | */* | *-*) ;;
		*) config=/etc/postgresql/$major/$name ;;
		esac
		;;
	esac
}

data_directory() {
	[ -e "$data.pg_manage-building" ] || [ -e "$data/.pg_manage-building" ] && emit building 1
	[ -L "$data" ] && emit symlink 1
	for f in "$data".old-*; do
		[ -f "$f/PG_VERSION" ] && emit aside "$f"
	done
	if hidden "$data"; then
		emit data unknown
		emit data_error "$hider cannot be searched"
		return
	fi
	if [ ! -e "$data" ]; then
		if [ -L "$data" ]; then
			emit data unknown
			emit data_error "$data is a symbolic link to something that does not exist"
		else
			emit data absent
		fi
		return
	fi
	if [ ! -d "$data" ]; then
		emit data foreign
		emit sample "${data##*/}"
		return
	fi
	if [ ! -r "$data" ] || [ ! -x "$data" ]; then
		emit data unknown
		emit data_error "$data cannot be read by $me"
		return
	fi
	running
	if [ -f "$data/PG_VERSION" ] && [ -f "$data/global/pg_control" ]; then
		emit data cluster
		emit pg_version "$have"
		[ -e "$data/standby.signal" ] && emit standby_signal 1
		[ -e "$data/recovery.signal" ] && emit recovery_signal 1
		[ -r "$data/pg_manage.restored" ] && IFS= read -r line <"$data/pg_manage.restored" && emit restored "$line"
		control_data
		set -- "$data/pg_wal/archive_status/"*.ready
		[ -e "$1" ] && emit ready "$#"
		[ -f "$data/patroni.dynamic.json" ] && emit patroni_managed 1
		return
	fi
	if [ -f "$data/pg_manage.restoring" ]; then # a restore of ours was cut off here
		emit data unfinished
		emit restoring "$(sed -n 's/^ *"system_identifier": "\([0-9]*\)".*/\1/p' "$data/pg_manage.restoring")"
		return
	fi
	n=0
	for f in "$data"/* "$data"/.[!.]* "$data"/..?*; do
		[ -e "$f" ] || [ -L "$f" ] || continue
		case ${f##*/} in
		lost+found | .pg_manage-building) continue ;;
		esac
		# What an interrupted build of ours had begun to move into its place.
		[ ! -e "$data/PG_VERSION" ] && [ -f "$data/.pg_manage-building/moving" ] &&
			grep -qxF -e "${f##*/}" -- "$data/.pg_manage-building/moving" && continue
		[ $n = 0 ] && emit data foreign
		n=$((n + 1))
		emit sample "${f##*/}"
		[ $n = 3 ] && break
	done
	[ $n = 0 ] && emit data empty
}

control_data() {
	if [ -z "$have_bin" ]; then
		emit control_error "no pg_controldata of PostgreSQL $have was found"
	elif out=$("$have_bin/pg_controldata" -D "$data" 2>&1); then
		emit control "$out"
	else
		emit control_error "$out"
	fi
}

# The process that postmaster.pid names is the postmaster of this directory when the
# directory is what it works in. A number that now belongs to another process is not.
running() {
	pid='' at=''
	[ -f "$data/postmaster.pid" ] || return
	if [ ! -r "$data/postmaster.pid" ]; then
		emit data_error "$data/postmaster.pid cannot be read by $me"
		emit running unknown
		return
	fi
	{
		IFS= read -r pid
		IFS= read -r line
		IFS= read -r at
		IFS= read -r run_port
		IFS= read -r run_socket
		IFS= read -r line
		IFS= read -r line
		IFS= read -r run_status
	} <"$data/postmaster.pid"
	pid=${pid#-}
	case $pid in
	'' | *[!0-9]*) return ;;
	esac
	kill -0 "$pid" 2>/dev/null || [ -d "/proc/$pid" ] || return
	if [ -e "/proc/$pid/cwd" ]; then
		[ "/proc/$pid/cwd" -ef "$data" ] || return
	else
		# Whose process it is cannot be seen: another user's is not our server.
		kill -0 "$pid" 2>/dev/null || return
	fi
	is_running=1
	emit running 1
	emit pid "$pid"
	emit run_port "$run_port"
	emit run_socket "$run_socket"
	emit run_status "$run_status"
	if [ -r "/proc/$pid/cgroup" ]; then
		while IFS= read -r line; do
			case $line in
			0::* | *:name=systemd:*) emit cgroup "${line##*:}" ;;
			esac
		done <"/proc/$pid/cgroup"
	fi
}

# Active units by their control groups, which hold processes as long as they are active.
daemons() {
	for g in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
		for u in "$g"/system.slice/*.service "$g"/system.slice/system-*.slice/*@*.service; do
			case ${u##*/} in
			patroni.service | patroni@*.service | repmgrd.service | repmgrd@*.service | repmgr*.service | pgautofailover*.service) ;;
			*) continue ;;
			esac
			IFS= read -r line 2>/dev/null <"$u/cgroup.procs" && emit daemon "${u##*/}"
		done
	done
	for f in /run/repmgr/repmgrd.pid /run/repmgr/repmgrd-*.pid /run/repmgrd.pid /run/postgresql/repmgrd.pid /tmp/repmgrd.pid; do
		pid_alive "$f" && emit daemon_pid "repmgrd $f"
	done
	for f in "/tmp/pg_autoctl$data/pg_autoctl.pid" "${XDG_RUNTIME_DIR:-/run/user/none}/pg_autoctl$data/pg_autoctl.pid"; do
		pid_alive "$f" && emit daemon_pid "pg_autoctl $f"
	done
}

pid_alive() { # file
	[ -r "$1" ] || return 1
	line=''
	IFS= read -r line <"$1"
	case $line in
	'' | *[!0-9]*) return 1 ;;
	esac
	[ -d "/proc/$line" ]
}

# Who has the port that our stopped server is to have: another PostgreSQL leaves a lock beside its socket.
port_owner() {
	[ -n "$is_running" ] && return
	for f in "$want_socket" /var/run/postgresql /tmp; do
		[ -n "$f" ] && [ -r "$f/.s.PGSQL.$port.lock" ] || continue
		{
			IFS= read -r pid
			IFS= read -r line
		} <"$f/.s.PGSQL.$port.lock"
		case $pid in
		'' | *[!0-9]*) continue ;;
		esac
		[ -d "/proc/$pid" ] && [ ! "$line" -ef "$data" ] && [ -d "$line" -o ! -e "$line" ] && {
			emit port_postgres "$line"
			emit port_pid "$pid"
			return
		}
	done
}

stat_of() { # name path: one word for each file, in the order given
	[ -e "$2" ] || return
	names="$names $1"
	stats="$stats${stats:+ }$2"
}

ours() {
	tool=$home/.pg_manage/bin
	state=$home/.pg_manage/$cluster/$node
	main=$tool/pg_manage hook=$tool/pg_manage-hook pass=$state/passfile
	hidden "$main" && emit hidden "$hider"
	hidden "$state/hook.json" && emit hidden "$hider"
	if [ -e "$state/restore-intent.json" ]; then
		[ -r "$state/restore-intent.json" ] || emit unreadable "$state/restore-intent.json"
		emit intent "$(cat -- "$state/restore-intent.json" 2>&1)"
	fi
	names='' sums=''
	set --
	for f in "$state"/used-*.json; do
		[ -r "$f" ] && IFS= read -r line <"$f" && emit used "$line"
	done
	for f in "$main" "$hook" "$pass" "$data" "$data/.." "$state/hook.json"; do
		[ -e "$f" ] && set -- "$@" "$f"
	done
	[ $# = 0 ] && return
	out=$(stat -L -c '%Z %s %Y %a %d' -- "$@" 2>/dev/null)
	for f in "$@"; do
		line=${out%%"$nl"*}
		out=${out#*"$nl"}
		# Of the change, not of the content: it was written under another name first.
		[ "$f" = "$state/hook.json" ] && emit hook_changed "${line%% *}"
		line=${line#* }
		[ "$f" = "$main" ] && main_stat=$line
		[ "$f" = "$hook" ] && hook_stat=$line
		[ "$f" = "$pass" ] && emit pass_stat "$line"
		[ "$f" = "$data" ] && emit data_stat "$line"
		[ "$f" = "$data/.." ] && emit parent_stat "$line"
	done
	set --
	for f in "$main" "$hook"; do
		[ -f "$f" ] || continue
		line=$main_stat
		[ "$f" = "$hook" ] && line=$hook_stat
		line=${line% *}
		line=${line% *}
		side=''
		# The installer notes beside a binary what it verified; a file that changed since has another size or time.
		[ -r "$f.sha256" ] && IFS= read -r side <"$f.sha256"
		case $side in
		*" $line")
			emit "sha_${f##*/}" "${side%% *}"
			continue
			;;
		esac
		set -- "$@" "$f"
	done
	[ -f "$pass" ] && {
		if [ -r "$pass" ]; then set -- "$@" "$pass"; else emit pass_unreadable 1; fi
	}
	[ $# = 0 ] && return
	out=$(sha256sum -- "$@" 2>/dev/null)
	for f in "$@"; do
		line=${out%%"$nl"*}
		out=${out#*"$nl"}
		line=${line#\\}
		emit "sha_${f##*/}" "${line%% *}"
	done
}

# One process prints all files. What it cannot read it passes over, so that is told first.
files() {
	for f in "$config/pg_manage.conf" "$config/postgresql.conf" "$config/pg_hba.conf" "$data/postgresql.auto.conf" "$state/hook.json"; do
		[ -e "$f" ] && [ ! -r "$f" ] && emit unreadable "$f"
		hidden "$f" && emit hidden "$hider"
	done
	[ -f "$config/postgresql.conf" ] && emit config_exists 1
	free=$port
	[ -n "$is_running" ] && free=''
	PG_CONFIG_DIR=$config PG_DATA=$data PG_STATE=$state PG_PORT=$free awk "$files_awk" </dev/null
}

# What our archiver does, and what waits for a target. No target is asked. A standby archives
# nothing; one that was primary before may have left something.
archiver() {
	[ "$ask_archiver" = 1 ] && [ -x "$main" ] && [ -r "$state/hook.json" ] || return
	[ -e "$data/standby.signal" ] && [ ! -d "$state/queue" ] && [ ! -d "$state/dropped" ] && return
	out=$(timeout 5 "$main" hook --config "$state/hook.json" status --local 2>/dev/null) && emit archiver "$out"
}

# Only systemd needs root. sudo is slow, and may log each refusal, so it runs beside the rest, and where it matters.
ask_sudo() {
	sudo=''
	[ "$ask_root" = 1 ] && [ -d /run/systemd/system ] && command -v sudo >/dev/null 2>&1 || return
	sudo -n true >/dev/null 2>&1 &
	sudo=$!
}

can_root() {
	[ -n "$sudo" ] && wait "$sudo" && emit root 1
}

query() {
	[ -n "$is_running" ] && [ "$ask_sql" = 1 ] || return
	s=$run_socket
	[ -n "$s" ] || return
	b=psql
	for d in "$bin" "$have_bin"; do
		[ -n "$d" ] && [ -x "$d/psql" ] && b=$d/psql && break
	done
	out=$(PGCONNECT_TIMEOUT=5 PGAPPNAME=pg_manage "$b" -XAtqw -v ON_ERROR_STOP=1 -v VERBOSITY=terse \
		-h "$s" -p "${run_port:-$port}" -U "$owner" -d postgres -c "$sql" 2>&1)
	if [ $? = 0 ]; then emit sql "$out"; else emit sql_error "$out"; fi
}

main() {
	owner=$1 major=$2 port=$3 cluster=$4 node=$5
	data=$6 want_config=$7 want_bin=$8 want_socket=$9
	shift 9
	debian_data=$1 rhel_data=$2 ask_root=$3 ask_sql=$4 ask_archiver=$5
	me=$owner is_running='' have='' have_bin='' run_port='' run_socket='' run_status='' main_stat='' hook_stat=''

	cd / || exit
	ask_sudo
	os_release
	machine
	home_of_owner
	[ -d /run/systemd/system ] && emit systemd 1
	[ -x /usr/bin/pg_ctlcluster ] && emit pg_ctlcluster 1
	[ -d /var/run/postgresql ] && emit socket_default /var/run/postgresql
	case $data:$family in
	:debian) data=$debian_data ;;
	:rhel) data=$rhel_data ;;
	esac
	emit data_dir "$data"
	if [ -n "$data" ]; then
		[ -r "$data/PG_VERSION" ] && IFS= read -r have <"$data/PG_VERSION"
		binaries
		config_dir
		emit config_dir "$config"
		data_directory
		port_owner
		daemons
		ours
		files
		archiver
	else
		binaries
	fi
	can_root
	query
	emit end 1
}

main "$@" </dev/null
