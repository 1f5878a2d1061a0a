# Prints the files that matter, in the format of probe.sh: one process for all of
# them. The paths come in the environment, which takes any character.
function show(name, path,    line, n, r) {
	n = 0
	while ((r = (getline line < path)) > 0 && n < 20000) {
		if (!n++) print "@" name
		print "|" line
	}
	if (r == 0 && !n) print "@" name
	close(path)
}
function last(name, path,    line, kept, found) {
	while ((getline line < path) > 0)
		if (line !~ /^[ \t\r]*(#.*)?$/) { kept = line; found = 1 }
	close(path)
	if (found) print "@" name "\n|" kept
}
function block(name, path,    line, inside) {
	while ((getline line < path) > 0) {
		if (line ~ /^# BEGIN pg_manage/) { inside = 1; if (!seen++) print "@" name }
		if (inside) print "|" line
		if (line ~ /^# END pg_manage/) inside = 0
	}
	close(path)
}
function listens(path,    line, f) {
	if (!hex) return
	while ((getline line < path) > 0) {
		split(line, f, " ")
		if (f[4] == "0A" && f[2] ~ (":" hex "$")) { print "listen=" f[2]; break }
	}
	close(path)
}
function mounted(path,    line, f) {
	gsub(/\\/, "\\134", path)
	gsub(/ /, "\\040", path)
	gsub(/\t/, "\\011", path)
	gsub(/\n/, "\\012", path)
	while ((getline line < "/proc/self/mountinfo") > 0) {
		split(line, f, " ")
		if (f[5] == path) { print "mount=1"; break }
	}
}
BEGIN {
	config = ENVIRON["PG_CONFIG_DIR"]; data = ENVIRON["PG_DATA"]; port = ENVIRON["PG_PORT"]
	hex = port == "" ? "" : sprintf("%04X", port)
	show("settings", config "/pg_manage.conf")
	last("include", config "/postgresql.conf")
	block("hba", config "/pg_hba.conf")
	show("auto", data "/postgresql.auto.conf")
	show("hook", ENVIRON["PG_STATE"] "/hook.json")
	listens("/proc/net/tcp"); listens("/proc/net/tcp6")
	mounted(data)
}
