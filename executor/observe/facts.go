package observe

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"pg_manage/planner"
	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

// defaultSocket is where the packages of Debian and of PGDG put the unix socket.
const defaultSocket = "/var/run/postgresql"

// declaredSocket is the first directory of the declared unix_socket_directories.
func declaredSocket(n *schema.Node) string {
	first, _, _ := strings.Cut(n.Parameters["unix_socket_directories"], ",")
	first = strings.Trim(strings.TrimSpace(first), `"`)
	if !strings.HasPrefix(first, "/") {
		return ""
	}
	return first
}

// facts are what the script alone tells.
func facts(s *sections, canRoot bool, c *schema.Cluster, n *schema.Node) *planner.NodeFacts {
	f := &planner.NodeFacts{}
	home := s.get("home")
	if !strings.HasPrefix(home, "/") {
		f.Unreachable = fmt.Sprintf("the operating system user %s has no home directory", owner(n))
		return f
	}
	for _, what := range []string{"unreadable", "hidden"} {
		if p := s.get(what); p != "" && s.get("data") != string(planner.DataUnknown) { // which tells the same
			f.Unreachable = fmt.Sprintf("%s may not look into %s: give it to that user, or change its mode", owner(n), p)
			return f
		}
	}
	hostname, machine := cutLast(s.get("uname"))
	f.Host = planner.HostFacts{
		Hostname: hostname, OSFamily: s.get("family"), OSName: s.get("os"), Arch: goArch(machine),
		Owner: owner(n), OwnerHome: home, CanRoot: canRoot, Systemd: s.is("systemd"),
		Installed: map[string]string{}, Packages: map[int]string{},
	}
	for _, name := range []string{"pg_manage", "pg_manage-hook"} {
		if sum := s.get("sha_" + name); sum != "" {
			f.Host.Installed[name] = sum
		}
	}
	for _, text := range s.values["package"] {
		if v, err := postgres.ParseVersion(text); err == nil && f.Host.Packages[v.Major()] == "" {
			f.Host.Packages[v.Major()] = v.String()
		}
	}
	daemons(s, f)
	f.Paths = planner.Paths{
		BinDir: s.get("bin"), DataDir: s.get("data_dir"), ConfigDir: s.get("config_dir"),
		Tool: path.Join(home, ".pg_manage/bin"), State: path.Join(home, ".pg_manage", c.Name, n.Name),
	}
	f.Data = dataFacts(s)
	f.Intent = restoreIntent(s)
	for _, text := range s.values["used"] {
		if u, err := planner.DecodeUsed([]byte(text)); err == nil {
			f.Used = append(f.Used, u)
		}
	}
	f.Server.Running = s.is("running")
	f.Server.PID, _ = strconv.Atoi(s.get("pid"))
	if f.Server.Running {
		f.Server.Port, _ = strconv.Atoi(s.get("run_port"))
	} else {
		f.Server.PortTaken = portTaken(s)
	}
	f.Server.AutoConf = autoConf(s.files["auto"])
	f.Paths.SocketDir = socketDir(s, n)
	f.Paths.Manager, f.Paths.Unit = manager(s, f, c.Version)
	f.Files = planner.FileFacts{
		Settings: s.files["settings"], HBA: s.files["hba"], HookConfig: s.files["hook"],
		Included: included(s.files["include"], f.Paths.ConfigDir), ConfigExists: s.is("config_exists"),
		PassfileMatches: passfileMatches(s, c, n),
	}
	return f
}

// restoreIntent reads what a restore in place wrote down when it began. That it cannot be
// understood does not make it go away.
func restoreIntent(s *sections) *planner.RestoreIntent {
	text := s.get("intent")
	if text == "" {
		return nil
	}
	i := &planner.RestoreIntent{}
	if err := json.Unmarshal([]byte(text), i); err != nil || i.Asked == "" {
		return &planner.RestoreIntent{Asked: "something that cannot be read: " + oneLine(text)}
	}
	return i
}

func goArch(machine string) string {
	switch machine {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return machine
}

func cutLast(s string) (before, last string) {
	if i := strings.LastIndexByte(s, ' '); i >= 0 {
		return s[:i], s[i+1:]
	}
	return s, ""
}

func dataFacts(s *sections) planner.DataFacts {
	d := planner.DataFacts{
		State: planner.DataState(s.get("data")), Error: s.get("data_error"), Building: s.is("building"),
		MountPoint:    s.is("mount") || s.is("symlink") || otherDevice(s.get("data_stat"), s.get("parent_stat")),
		Restored:      s.get("restored"),
		StandbySignal: s.is("standby_signal"), RecoverySignal: s.is("recovery_signal"), Sample: s.values["sample"], Aside: s.values["aside"],
	}
	if s.get("data_dir") == "" {
		d.State, d.Error = planner.DataUnknown, "no convention is known for this distribution: declare data_dir"
	}
	if s.get("running") == "unknown" || d.State == "" {
		d.State = planner.DataUnknown
	}
	if d.State == planner.DataUnfinished {
		d.SystemIdentifier = s.get("restoring")
	}
	if d.State != planner.DataCluster {
		return d
	}
	d.MajorVersion, _ = strconv.Atoi(s.get("pg_version"))
	if e := s.get("control_error"); e != "" {
		d.Error = oneLine(e)
		return d
	}
	c, err := postgres.ParseControlData(s.get("control"))
	if err != nil {
		d.Error = err.Error()
		return d
	}
	d.SystemIdentifier = strconv.FormatUint(c.SystemIdentifier, 10)
	d.ControlState, d.Checkpoint, d.SegmentSize = c.State, c.Checkpoint, c.SegmentSize
	d.Timeline = max(c.Timeline, c.MinRecoveryEndTimeline)
	d.Checksums, d.Limits = c.ChecksumVersion != 0, c.Settings
	return d
}

// otherDevice compares the device numbers of two lines of stat: a mount point is on another device than its parent.
func otherDevice(a, b string) bool {
	_, x := cutLast(a)
	_, y := cutLast(b)
	return x != "" && y != "" && x != y
}

func portTaken(s *sections) string {
	if dir := s.get("port_postgres"); dir != "" {
		return fmt.Sprintf("by PostgreSQL with the data directory %s (pid %s)", oneLine(dir), s.get("port_pid"))
	}
	if s.get("listen") != "" {
		return "by another program"
	}
	return ""
}

// autoConf reads postgresql.auto.conf, of which the last line for a name counts. A
// line that the server would refuse is passed over.
func autoConf(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		entries, err := postgres.ParseConf(line)
		if err != nil {
			continue
		}
		for _, e := range entries {
			name := strings.ToLower(e.Name)
			m[name] = withoutPassword(name, e.Value)
		}
	}
	if len(m) == 0 {
		return nil
	}
	return m
}

// included says whether the last line of postgresql.conf that says something includes our file.
func included(last, configDir string) bool {
	entries, err := postgres.ParseConf(last)
	if err != nil || len(entries) != 1 || !entries[0].IncludeDirective() || strings.EqualFold(entries[0].Name, "include_dir") {
		return false
	}
	v := entries[0].Value
	return v == "pg_manage.conf" || v == path.Join(configDir, "pg_manage.conf")
}

func socketDir(s *sections, n *schema.Node) string {
	if s.is("running") && s.get("run_socket") != "" {
		return s.get("run_socket")
	}
	if d := declaredSocket(n); d != "" {
		return d
	}
	if d := s.get("socket_default"); d != "" {
		return d
	}
	return "/tmp"
}

// manager tells who governs the instance. A running server that systemd did not
// start is not systemd's to restart, whatever units there are.
func manager(s *sections, f *planner.NodeFacts, version int) (planner.Manager, string) {
	name, debian := strings.CutPrefix(f.Paths.ConfigDir, fmt.Sprintf("/etc/postgresql/%d/", version))
	debian = debian && name != "" && !strings.Contains(name, "/")
	unit := ""
	switch {
	case debian:
		unit = fmt.Sprintf("postgresql@%d-%s", version, name)
	case f.Host.OSFamily == "rhel" && f.Paths.DataDir == schema.DefaultPaths("rhel", version).DataDir && f.Paths.ConfigDir == f.Paths.DataDir:
		unit = fmt.Sprintf("postgresql-%d", version)
	}
	group := s.get("cgroup")
	its := !f.Server.Running || group == "" || path.Base(group) == unit+".service"
	switch {
	case unit != "" && f.Host.Systemd && f.Host.CanRoot && its:
		return planner.ManagerSystemd, unit
	case debian && s.is("pg_ctlcluster"):
		return planner.ManagerPgCtlcluster, ""
	}
	return planner.ManagerPgCtl, ""
}

func daemons(s *sections, f *planner.NodeFacts) {
	for _, unit := range s.values["daemon"] {
		switch {
		case strings.HasPrefix(unit, "patroni"):
			addDaemon(f, "patroni ("+unit+")")
		case strings.HasPrefix(unit, "repmgr"):
			addDaemon(f, "repmgrd ("+unit+")")
		case strings.HasPrefix(unit, "pgautofailover"):
			addDaemon(f, "pg_autoctl ("+unit+")")
		}
	}
	for _, d := range s.values["daemon_pid"] {
		name, file, _ := strings.Cut(d, " ")
		addDaemon(f, name+" ("+file+")")
	}
}

func addDaemon(f *planner.NodeFacts, name string) {
	if !slices.Contains(f.Host.Daemons, name) {
		f.Host.Daemons = append(f.Host.Daemons, name)
	}
}
