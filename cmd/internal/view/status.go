package view

import (
	"time"

	"pg_manage/planner"
	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

// Status is how clusters are doing, in the JSON form of `status`.
type Status struct {
	FormatVersion string          `json:"format_version"`
	ToolVersion   string          `json:"tool_version"`
	Time          time.Time       `json:"time"`
	Healthy       bool            `json:"healthy"`
	Clusters      []ClusterStatus `json:"clusters"`
}

// ClusterStatus is one cluster: its nodes in the order of the topology, a node
// before those that stream from it.
type ClusterStatus struct {
	Name             string            `json:"name"`
	Version          int               `json:"version"`
	SystemIdentifier string            `json:"system_identifier,omitempty"`
	Primary          string            `json:"primary,omitempty"` // node that was seen to be primary, when exactly one was
	Healthy          bool              `json:"healthy"`
	Problems         []string          `json:"problems,omitempty"` // why it is not healthy
	Nodes            []NodeStatus      `json:"nodes"`
	Archive          *ArchiveStatus    `json:"archive,omitempty"` // nil when the cluster declares none
	Backups          []BackupStatus    `json:"backups,omitempty"` // one for each backup block
	Findings         []planner.Finding `json:"findings,omitempty"`
	PendingSteps     int               `json:"pending_steps"` // steps that a plan would have
}

// NodeStatus is one instance.
type NodeStatus struct {
	Name         string            `json:"name"`
	Declared     schema.Role       `json:"declared_role"`
	Role         schema.Role       `json:"role,omitempty"` // as observed; "" when not known
	State        string            `json:"state"`          // see nodeState
	Error        string            `json:"error,omitempty"`
	Upstream     string            `json:"upstream,omitempty"` // as declared
	Depth        int               `json:"depth"`              // in the topology; 0 is the primary
	Version      string            `json:"version,omitempty"`
	Timeline     postgres.Timeline `json:"timeline,omitempty"`
	CurrentLSN   *postgres.LSN     `json:"current_lsn,omitempty"`
	ReceiveLSN   *postgres.LSN     `json:"receive_lsn,omitempty"`
	ReplayLSN    *postgres.LSN     `json:"replay_lsn,omitempty"`
	LagBytes     *int64            `json:"lag_bytes,omitempty"`   // behind the primary's WAL position, standby only
	LagSeconds   *float64          `json:"lag_seconds,omitempty"` // age of the last replayed commit; 0 when nothing is left to replay
	ReplayPaused bool              `json:"replay_paused,omitempty"`
	Delay        float64           `json:"declared_delay_seconds,omitempty"`
	Slots        []SlotStatus      `json:"slots,omitempty"`
	StartedAt    time.Time         `json:"started_at,omitzero"`
}

// SlotStatus is a replication slot of a node.
type SlotStatus struct {
	Name          string `json:"name"`
	Type          string `json:"type"`
	Active        bool   `json:"active"`
	WALStatus     string `json:"wal_status,omitempty"`
	RetainedBytes *int64 `json:"retained_bytes,omitempty"` // WAL that the slot holds back
}

// States of a node.
const (
	stateUnreachable = "unreachable" // Error says why
	stateAbsent      = "absent"      // no data directory
	stateForeign     = "foreign"     // the data directory holds something else
	stateUnfinished  = "unfinished"  // a restore into the data directory was cut off
	stateStopped     = "stopped"
	stateNoAnswer    = "no answer" // runs, but did not answer; Error says why
	stateRunning     = "running"   // a primary, or a standby that reads only the archive or waits
	stateStreaming   = "streaming" // a standby that streams
)

// NewStatus puts together what was declared, observed and found.
func NewStatus(cfg *schema.Config, obs *planner.Observed, plan *planner.Plan, now time.Time) Status {
	s := Status{FormatVersion: FormatVersion, ToolVersion: plan.ToolVersion, Time: now, Healthy: true, Clusters: []ClusterStatus{}}
	for _, c := range cfg.Clusters {
		cs := clusterStatus(c, obs, plan, now)
		s.Healthy = s.Healthy && cs.Healthy
		s.Clusters = append(s.Clusters, cs)
	}
	return s
}

type statusLine struct {
	Type string `json:"type"`
	Status
}

// StatusLine writes a status as a line of type "status".
func StatusLine(l *Lines, s Status) { l.Put(statusLine{"status", s}) }

func clusterStatus(c *schema.Cluster, obs *planner.Observed, plan *planner.Plan, now time.Time) ClusterStatus {
	cs := ClusterStatus{Name: c.Name, Version: c.Version, Nodes: []NodeStatus{}}
	primary := onlyPrimary(c, obs)
	if primary != nil {
		cs.Primary = primary.Name
		cs.SystemIdentifier = obs.Node(c.Name, primary.Name).Data.SystemIdentifier
	}
	for _, at := range topology(c) {
		n := nodeStatus(at.node, obs.Node(c.Name, at.node.Name))
		n.Depth = at.depth
		if primary != nil {
			n.lag(obs.Node(c.Name, primary.Name), obs.Node(c.Name, at.node.Name))
		}
		cs.Nodes = append(cs.Nodes, n)
	}
	if c.Archived() {
		cs.Archive = archiveStatus(c, obs, primary, now)
	}
	if facts := obs.Clusters[c.Name]; facts != nil {
		cs.Backups = NewBackupStatus(c, func(target string) *planner.CatalogFact { return facts.Catalog(target, c.Name) }, cs.SystemIdentifier, now)
	}
	for _, f := range plan.Findings {
		if f.Cluster == c.Name {
			cs.Findings = append(cs.Findings, f)
		}
	}
	for _, st := range plan.Steps {
		if st.Cluster == c.Name {
			cs.PendingSteps++
		}
	}
	cs.Problems = problems(&cs)
	cs.Healthy = len(cs.Problems) == 0
	return cs
}

// onlyPrimary is the node that was seen out of recovery, when there is exactly one.
func onlyPrimary(c *schema.Cluster, obs *planner.Observed) *schema.Node {
	var found *schema.Node
	for _, n := range c.Nodes {
		f := obs.Node(c.Name, n.Name)
		if f == nil || f.Unreachable != "" || !f.Server.Accepting || f.Server.InRecovery {
			continue
		}
		if found != nil {
			return nil
		}
		found = n
	}
	return found
}

type treeNode struct {
	node  *schema.Node
	depth int
}

// topology orders the nodes as a tree: each before those that stream from it.
func topology(c *schema.Cluster) []treeNode {
	var out []treeNode
	var walk func(upstream string, depth int)
	walk = func(upstream string, depth int) {
		for _, n := range c.Nodes {
			if n.Upstream == upstream && (upstream != "" || n.Role == schema.RolePrimary) {
				out = append(out, treeNode{n, depth})
				walk(n.Name, depth+1)
			}
		}
	}
	walk("", 0)
	for _, n := range c.Nodes { // what hangs on nothing is still shown
		if n.Upstream == "" && n.Role != schema.RolePrimary {
			out = append(out, treeNode{n, 0})
			walk(n.Name, 1)
		}
	}
	return out
}

func nodeStatus(n *schema.Node, f *planner.NodeFacts) NodeStatus {
	s := NodeStatus{Name: n.Name, Declared: n.Role, Upstream: n.Upstream, Delay: n.Delay.Seconds()}
	if f == nil {
		s.State, s.Error = stateUnreachable, "it was not looked at"
		return s
	}
	s.State, s.Error = nodeState(f)
	if s.State == stateUnreachable {
		return s
	}
	s.Timeline = f.Data.Timeline
	if !f.Server.Accepting {
		return s
	}
	srv := &f.Server
	s.Role, s.Version, s.StartedAt, s.ReplayPaused = schema.RolePrimary, srv.Version.String(), srv.StartedAt, srv.ReplayPaused
	if srv.Timeline != 0 {
		s.Timeline = srv.Timeline
	}
	position := srv.CurrentLSN
	if srv.InRecovery {
		s.Role = schema.RoleStandby
		s.ReceiveLSN, s.ReplayLSN = &srv.ReceiveLSN, &srv.ReplayLSN
		position = srv.ReplayLSN
	} else {
		s.CurrentLSN = &srv.CurrentLSN
	}
	for _, sl := range srv.Slots {
		st := SlotStatus{Name: sl.Name, Type: sl.Type, Active: sl.Active, WALStatus: sl.WALStatus}
		if sl.RestartLSN != 0 {
			n := distance(position, sl.RestartLSN)
			st.RetainedBytes = &n
		}
		s.Slots = append(s.Slots, st)
	}
	return s
}

func nodeState(f *planner.NodeFacts) (state, why string) {
	switch {
	case f.Unreachable != "":
		return stateUnreachable, f.Unreachable
	case f.Server.Accepting && f.Server.Receiver != nil && f.Server.Receiver.Status == "streaming":
		return stateStreaming, ""
	case f.Server.Accepting:
		return stateRunning, ""
	case f.Server.Running:
		return stateNoAnswer, f.Server.Error
	case f.Data.State == planner.DataCluster:
		return stateStopped, f.Data.ControlState
	case f.Data.State == planner.DataForeign:
		return stateForeign, "the data directory holds no PostgreSQL cluster"
	case f.Data.State == planner.DataUnfinished:
		return stateUnfinished, "a restore into the data directory was cut off: run it again"
	case f.Data.State == planner.DataUnknown:
		return stateNoAnswer, f.Data.Error
	default:
		return stateAbsent, ""
	}
}

// lag fills in how far a standby is behind the primary.
func (s *NodeStatus) lag(primary, own *planner.NodeFacts) {
	if s.Role != schema.RoleStandby {
		return
	}
	bytes := distance(primary.Server.CurrentLSN, own.Server.ReplayLSN)
	s.LagBytes = &bytes
	seconds := 0.0
	// With nothing left to replay, the last commit may be old without any lag.
	if bytes > 0 {
		seconds = own.Server.ReplayAge.Seconds()
	}
	s.LagSeconds = &seconds
}

// distance is how many bytes of WAL lie between two positions. Nodes are asked
// one after the other, so that a standby may seem ahead: that is 0.
func distance(ahead, behind postgres.LSN) int64 {
	if behind >= ahead {
		return 0
	}
	return int64(ahead - behind)
}
