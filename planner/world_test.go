package planner

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

// world is what truly is: the machines, the instances on them, the archives. The
// planner sees it through observe; simulate changes it as apply would.
type world struct {
	machines map[string]*machine // by host
	archives map[string]string   // place -> system identifier; "foreign" for files that are not ours
	down     map[string]bool     // places that do not answer
	ids      int                 // system identifiers given out
	now      postgres.LSN

	clock   time.Time
	backups map[string][]stored // by place
	restore *RestoreRequest     // that plans are made for

	unlooked bool // nobody looks into the archives for where a restore leads
}

// machine is one host with at most one instance.
type machine struct {
	unreachable, noServer, portTaken string
	debian                           bool
	daemons                          []string
	installed                        map[string]string
	hooks, passfiles                 map[string]string // by our state directory
	conf, hba                        string            // pg_manage.conf, the block in pg_hba.conf
	included                         bool
	inst                             *instance // nil: no data directory
	empty, foreign, unreadable       bool
	mount                            bool
	unfinished                       string // system identifier of a restore over the data that was cut off
	aside                            []*instance
	intent                           *RestoreIntent
}

type instance struct {
	dir      string
	id       string
	major    int
	timeline postgres.Timeline
	lsn      postgres.LSN
	signal   bool // standby.signal
	recovery bool // recovery.signal
	restored string
	auto     map[string]string
	roles    map[string]string // user -> password
	slots    map[string]Slot

	running bool
	mute    string // runs, but does not answer
	primary bool   // runs, and is not in recovery
	live    map[string]string
	ours    []string // live values that come from our file
	pending []string
	liveHBA string
}

func newWorld(c *schema.Cluster) *world {
	w := &world{machines: map[string]*machine{}, archives: map[string]string{}, down: map[string]bool{}, now: 0x3000000, clock: testTime, backups: map[string][]stored{}}
	w.addMachines(c)
	return w
}

func (w *world) addMachines(c *schema.Cluster) {
	for _, n := range c.Nodes {
		if w.machines[n.Host] == nil {
			w.machines[n.Host] = &machine{debian: true, installed: map[string]string{}, hooks: map[string]string{}, passfiles: map[string]string{}}
		}
	}
}

func (w *world) on(c *schema.Cluster, node string) *machine { return w.machines[c.Node(node).Host] }

func (w *world) newID() string { w.ids++; return fmt.Sprintf("73000000000000000%02d", w.ids) }

// places are where the archives of a cluster lie, in the order in which restore asks them.
func places(c *schema.Cluster) []string {
	var out []string
	for _, a := range ArchiveOrder(c) {
		out = append(out, archiveURL(c, a.Target))
	}
	return out
}

func (m *machine) paths(c *schema.Cluster, n *schema.Node) Paths {
	p := Paths{
		BinDir: fmt.Sprintf("/usr/lib/postgresql/%d/bin", c.Version), DataDir: n.DataDir,
		Tool: "/var/lib/postgresql/.pg_manage/bin", State: "/var/lib/postgresql/.pg_manage/" + c.Name + "/" + n.Name,
		SocketDir: "/var/run/postgresql", Manager: ManagerPgCtl,
	}
	if p.DataDir == "" {
		p.DataDir = fmt.Sprintf("/var/lib/postgresql/%d/main", c.Version)
	}
	p.ConfigDir = p.DataDir
	if m.debian {
		p.ConfigDir = fmt.Sprintf("/etc/postgresql/%d/main", c.Version)
		p.Manager, p.Unit = ManagerSystemd, fmt.Sprintf("postgresql@%d-main.service", c.Version)
	}
	if m.noServer != "" {
		p.BinDir = ""
	}
	return p
}

// observe gives the facts as the probes would, for what c declares.
func (w *world) observe(c *schema.Cluster) *Observed {
	facts := &ClusterFacts{Nodes: map[string]*NodeFacts{}}
	for _, n := range c.Nodes {
		facts.Nodes[n.Name] = w.look(c, n)
	}
	w.catalogs(c, facts)
	return &Observed{Clusters: map[string]*ClusterFacts{c.Name: facts}}
}

func (w *world) look(c *schema.Cluster, n *schema.Node) *NodeFacts {
	m := w.machines[n.Host]
	if m == nil {
		return &NodeFacts{Unreachable: "no such host"}
	}
	if m.unreachable != "" {
		return &NodeFacts{Unreachable: m.unreachable}
	}
	f := &NodeFacts{
		Host: HostFacts{
			Hostname: n.Name, OSFamily: "other", OSName: "Some Linux", Arch: "amd64", Owner: "postgres", OwnerHome: "/var/lib/postgresql",
			CanRoot: true, Systemd: m.debian, Installed: maps.Clone(m.installed), Packages: map[int]string{17: "17.2"}, Daemons: m.daemons,
		},
		Paths: m.paths(c, n),
	}
	if m.debian {
		f.Host.OSFamily, f.Host.OSName = "debian", "Debian GNU/Linux 13 (trixie)"
	}
	i := m.inst
	f.Data.MountPoint = m.mount
	if i != nil && i.dir != f.Paths.DataDir {
		if i.running {
			f.Server.PortTaken = "postgres (pid 99)"
		}
		i = nil
	}
	switch {
	case m.unreadable:
		f.Data.State, f.Data.Error = DataUnknown, "permission denied"
	case m.unfinished != "":
		f.Data.State, f.Data.SystemIdentifier = DataUnfinished, m.unfinished
	case m.foreign:
		f.Data.State, f.Data.Sample = DataForeign, []string{"photos"}
	case i != nil:
		f.Data = DataFacts{
			State: DataCluster, MajorVersion: i.major, SystemIdentifier: i.id, Timeline: i.timeline, Checkpoint: i.lsn, ControlState: "shut down",
			Checksums: true, SegmentSize: 16 << 20, StandbySignal: i.signal, RecoverySignal: i.recovery, Restored: i.restored, MountPoint: m.mount,
		}
	case m.empty:
		f.Data.State = DataEmpty
	default:
		f.Data.State = DataAbsent
	}
	if m.debian || i != nil {
		f.Files.Settings, f.Files.HBA, f.Files.Included, f.Files.ConfigExists = m.conf, m.hba, m.included, i != nil
	}
	f.Intent = m.intent
	f.Files.HookConfig = m.hooks[f.Paths.State]
	if r := c.Replication; r != nil {
		f.Files.PassfileMatches = m.passfiles[f.Paths.State] == r.User+":"+r.Password.Reveal()
	}
	if f.Server.PortTaken == "" {
		f.Server.PortTaken = m.portTaken
	}
	if i != nil && !m.unreadable && !m.foreign {
		f.Server = w.server(c, i)
		if !i.running {
			f.Server.PortTaken = m.portTaken
		} else if f.Data.ControlState = "in production"; !i.primary {
			f.Data.ControlState = "in archive recovery"
		}
	}
	f.Files.Unread = f.Server.Accepting && i.liveHBA != m.hba
	w.archiveFacts(c, m, f)
	return f
}

func (w *world) server(c *schema.Cluster, i *instance) ServerFacts {
	if !i.running {
		s := ServerFacts{AutoConf: maps.Clone(i.auto)}
		for _, name := range sortedKeys(i.slots) { // pg_replslot has their names
			s.Slots = append(s.Slots, Slot{Name: name, Type: "physical"})
		}
		return s
	}
	if i.mute != "" {
		return ServerFacts{Running: true, PID: 42, Error: i.mute}
	}
	s := ServerFacts{
		Running: true, PID: 42, Port: 5432, Accepting: true, Version: 170002, InRecovery: !i.primary, Timeline: i.timeline,
		AutoConf: maps.Clone(i.auto), FromOurFile: slices.Clone(i.ours), PendingRestart: slices.Clone(i.pending), StartedAt: testTime,
		Settings: catalog(),
	}
	for name, v := range i.live {
		set := s.Settings[name]
		set.Value = v
		s.Settings[name] = set
	}
	for _, name := range sortedKeys(i.slots) {
		s.Slots = append(s.Slots, i.slots[name])
	}
	if pw, ok := i.roles[c.Replication.User]; ok {
		s.ReplicationRole = &RoleFacts{Login: true, Replication: true, PasswordMatches: pw == c.Replication.Password.Reveal()}
	}
	if i.primary {
		s.CurrentLSN = i.lsn
		if i.live["archive_mode"] == "on" {
			s.Archiver = &Archiver{Archived: 3, LastWAL: "000000010000000000000003", LastTime: testTime}
		}
	} else {
		s.ReceiveLSN, s.ReplayLSN = i.lsn, i.lsn
		if host, port, ok := w.source(i); ok {
			s.Receiver = &Receiver{Status: "streaming", SenderHost: host, SenderPort: port, Slot: i.live["primary_slot_name"], Received: i.lsn}
		}
	}
	return s
}

// archiveFacts are what the node says of its archives. It asks with the configuration
// that it has, so that it knows nothing of a target that is not there yet.
func (w *world) archiveFacts(c *schema.Cluster, m *machine, f *NodeFacts) {
	have, readable := DecodeHookConfig(f.Files.HookConfig)
	for _, t := range NewHookConfig(c, "", f.Paths).Targets {
		a := ArchiveFact{Target: t.Name, Evidence: "asked"}
		now, place := have.Target(t.Name), t.place(c.Name)
		switch id := w.archives[place]; {
		case !readable || len(m.installed) == 0 || now == nil || !now.SamePlace(&t):
			a.Error, a.Evidence = "the node cannot ask yet", ""
		case w.down[place]:
			a.State, a.Error = ArchiveUnreachable, "connection refused"
		case id == "":
			a.State = ArchiveAbsent
		case id == "foreign":
			a.State = ArchiveForeign
		default:
			a.State, a.SystemIdentifier = ArchiveOurs, id
		}
		f.Archives = append(f.Archives, a)
	}
}

// source is where a standby really streams from: its server asks for what its
// settings say, and the other side has to let it in.
func (w *world) source(i *instance) (host string, port int, ok bool) {
	info := map[string]string{}
	for _, f := range strings.Fields(i.live["primary_conninfo"]) {
		k, v, _ := strings.Cut(f, "=")
		info[k] = v
	}
	up := w.at(info["host"])
	if !i.running || i.primary || up == nil || up == i || up.mute != "" || !up.running || up.id != i.id || up.timeline < i.timeline {
		return "", 0, false
	}
	if _, has := up.slots[i.live["primary_slot_name"]]; !has || up.primary && up.lsn < i.lsn {
		return "", 0, false
	}
	if !w.admits(up, i, info["user"], strings.TrimSuffix(info["passfile"], "/passfile")) {
		return "", 0, false
	}
	return info["host"], 5432, true
}

// admits says that up lets the machine of i log in for replication.
func (w *world) admits(up, i *instance, user, state string) bool {
	for host, m := range w.machines {
		if m.inst != i {
			continue
		}
		rule := fmt.Sprintf("host replication %s %s/32 scram-sha-256\n", user, address(host))
		pw, ok := up.roles[user]
		return ok && strings.Contains(up.liveHBA, rule) && m.passfiles[state] == user+":"+pw
	}
	return false
}

func address(host string) string {
	name, _, _ := strings.Cut(host, ".")
	return fmt.Sprintf("10.0.0.%d", 10+int(name[len(name)-1]-'0'))
}

// at is the instance on the machine with this address.
func (w *world) at(addr string) *instance {
	for host, m := range w.machines {
		if address(host) == addr && m.unreachable == "" {
			return m.inst
		}
	}
	return nil
}
