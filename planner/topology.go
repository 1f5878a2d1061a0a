package planner

import (
	"fmt"
	"strings"

	"pg_manage/schema"
	"pg_manage/schema/postgres"
)

// look judges one node by itself: what makes it impossible to plan for it at all.
func (b *builder) look(n *schema.Node) {
	f := b.node(n)
	switch {
	case f.Unreachable != "":
		why, toCopy, _ := strings.Cut(f.Unreachable, "\n")
		b.errorf(n, strings.TrimPrefix(toCopy+"\nNothing is planned for it, and nothing that it could contradict.", "\n"), "%s could not be looked at: %s", n.Name, why)
	case f.Paths.BinDir == "":
		b.errorf(n, installHint(f, b.c.Version), "PostgreSQL %d is not installed on %s%s", b.c.Version, n.Name, otherVersions(f))
	case f.Data.State == DataUnknown:
		b.errorf(n, "The owner of the instance must be able to read it.", "the data directory %s on %s could not be looked at: %s", f.Paths.DataDir, n.Name, f.Data.Error)
	case f.Data.State == DataForeign:
		b.errorf(n, "Move it away by hand, or declare another data_dir. pg_manage never touches a directory that it does not recognise.",
			"%s on %s is not empty and not a PostgreSQL data directory (it holds %s)", f.Paths.DataDir, n.Name, strings.Join(f.Data.Sample, ", "))
	case f.Data.State == DataUnfinished && !b.restoresOver(n):
		b.errorf(n, fmt.Sprintf("Run the `pg_manage restore %s --delta` that was cut off again: it goes on from there.", b.c.Name),
			"a restore into %s on %s was cut off: it is neither the old data nor that of the backup, and PostgreSQL cannot be started on it", f.Paths.DataDir, n.Name)
	case f.Data.State == DataCluster && f.Data.MajorVersion != b.c.Version:
		b.errorf(n, fmt.Sprintf("Declare version = %d, or upgrade the cluster with pg_upgrade first.", f.Data.MajorVersion),
			"%s on %s belongs to PostgreSQL %d, the file declares %d", f.Paths.DataDir, n.Name, f.Data.MajorVersion, b.c.Version)
	case f.Data.State == DataCluster && f.Data.SystemIdentifier == "":
		b.errorf(n, "Run pg_controldata on it: its control file may be damaged.", "the data directory %s on %s does not tell which cluster it belongs to", f.Paths.DataDir, n.Name)
	case f.Server.Running && !f.Server.Accepting:
		b.errorf(n, "When it is starting or recovering, wait and plan again; otherwise look into its log.",
			"the server on %s runs (pid %d) but does not answer: %s", n.Name, f.Server.PID, f.Server.Error)
	case f.Server.Running && f.Data.State != DataCluster:
		b.errorf(n, "Stop that server by hand: it runs on a directory that is gone.",
			"a server runs on %s (pid %d) whose data directory %s is %s", n.Name, f.Server.PID, f.Paths.DataDir, f.Data.State)
	case !f.Server.Running && f.Server.PortTaken != "":
		b.errorf(n, "Stop what listens there, or declare another port.", "port %d on %s is taken: %s", n.Port, n.Name, f.Server.PortTaken)
	case len(f.Host.Daemons) > 0:
		b.errorf(n, "Let one of the two govern the cluster, not both: stop the daemon, or take the cluster out of the file.",
			"%s governs the instance on %s", strings.Join(f.Host.Daemons, ", "), n.Name)
	}
}

func installHint(f *NodeFacts, version int) string {
	switch f.Host.OSFamily {
	case "debian":
		return fmt.Sprintf("Run there: apt-get install postgresql-%d", version)
	case "rhel":
		return fmt.Sprintf("Run there: dnf install postgresql%d-server", version)
	}
	return "Install it, or say with bin_dir where its programs are."
}

func otherVersions(f *NodeFacts) string {
	var vs []string
	for _, v := range sortedKeys(f.Host.Packages) {
		vs = append(vs, fmt.Sprint(v))
	}
	if len(vs) == 0 {
		return ""
	}
	return " (it has " + strings.Join(vs, ", ") + ")"
}

// holds says that the node has a data directory of a cluster.
func (f *NodeFacts) holds() bool { return f.Unreachable == "" && f.Data.State == DataCluster }

// vacant says that the node is known to have no data.
func (f *NodeFacts) vacant() bool {
	return f.Unreachable == "" && (f.Data.State == DataAbsent || f.Data.State == DataEmpty)
}

// runsPrimary says that the node answers and is not in recovery.
func (f *NodeFacts) runsPrimary() bool {
	return f.Unreachable == "" && f.Server.Accepting && !f.Server.InRecovery
}

// standbyData says that the data directory would start as a standby, or runs as one.
func (f *NodeFacts) standbyData() bool {
	if f.Server.Accepting {
		return f.Server.InRecovery
	}
	return f.Data.StandbySignal || f.Data.RecoverySignal
}

// topology settles which node is primary. Observed roles win over declared ones:
// a failover that happened is not undone. It says whether to go on planning.
func (b *builder) topology() bool {
	var running []*schema.Node
	for _, n := range b.c.Nodes {
		if b.node(n).runsPrimary() {
			running = append(running, n)
		}
	}
	declared := b.c.Primary()
	switch {
	case declared == nil:
		return false // refused by the schema
	case len(running) > 1:
		b.splitBrain(running)
		return false
	case len(running) == 1 && running[0] != declared && b.stranger(running[0], declared):
		return false
	case len(running) == 1 && running[0] != declared:
		b.primary = running[0]
		b.find(schema.SeverityError, running[0],
			fmt.Sprintf("The roles that are observed stand; nothing is promoted or demoted by this plan. Write role = %q for %s and role = %q for %s when that is how it should stay.",
				schema.RolePrimary, running[0].Name, schema.RoleStandby, declared.Name),
			"%s is the primary, the file declares %s", running[0].Name, declared.Name)
	case b.node(declared).holds() && b.node(declared).standbyData():
		b.errorf(declared, "Bring the primary back, or promote it by hand; then plan again. Nothing is planned for this cluster until it is known which node is the primary.",
			"%s is declared primary, but it is a standby, and no node runs as primary", declared.Name)
		return false
	default:
		b.primary = declared
	}
	return true
}

// stranger says that the server which runs as primary is of another cluster than
// the data of the declared one, so that it can be nobody's successor.
func (b *builder) stranger(n, declared *schema.Node) bool {
	f, df := b.node(n), b.node(declared)
	if !df.holds() || f.Data.SystemIdentifier == df.Data.SystemIdentifier {
		return false
	}
	b.find(schema.SeverityError, nil, fmt.Sprintf("Find out which of them holds what is to be kept, and stop %s by hand if it is not the one. Nothing is planned for this cluster until then.", n.Name),
		"%s runs as primary with system identifier %s, and %s, the declared primary, has data of %s", n.Name, f.Data.SystemIdentifier, declared.Name, df.Data.SystemIdentifier)
	return true
}

// downstream gives the nodes so that each stands behind the one that it streams
// from: what stops the one is known when the other is planned.
func (b *builder) downstream() []*schema.Node {
	out, done := []*schema.Node{b.primary}, map[*schema.Node]bool{b.primary: true}
	for range b.c.Nodes {
		for _, n := range b.c.Nodes {
			if up := b.upstream(n); !done[n] && (up == nil || done[up]) {
				out, done[n] = append(out, n), true
			}
		}
		if len(out) == len(b.c.Nodes) {
			break
		}
	}
	return out
}

// timeline is the newest timeline that the node is known to be on: a running
// server may be ahead of its control file.
func (f *NodeFacts) timeline() postgres.Timeline { return max(f.Data.Timeline, f.Server.Timeline) }

// position is how far the node's WAL goes at least.
func (f *NodeFacts) position() postgres.LSN {
	return max(f.Data.Checkpoint, f.Server.CurrentLSN, f.Server.ReceiveLSN, f.Server.ReplayLSN)
}

// end is where the WAL of a primary ends; false when that cannot be told, as after
// a crash. The shutdown checkpoint is the last record of one that was stopped; a
// page of slack stands for the record's length.
func (f *NodeFacts) end() (postgres.LSN, bool) {
	switch {
	case f.runsPrimary():
		return f.Server.CurrentLSN, true
	case f.holds() && !f.Server.Running && f.Data.ControlState == "shut down":
		return f.Data.Checkpoint + 8192, true
	}
	return 0, false
}

// ahead says that n has WAL that the primary lacks, so that it cannot follow it. One that
// streams is never ahead: the primary would have refused it, and it may have moved
// on between the two looks.
func (f *NodeFacts) ahead(primary *NodeFacts) bool {
	if r := f.Server.Receiver; r != nil && r.Status == "streaming" {
		return false
	}
	end, known := primary.end()
	// A former primary of an older timeline may be: it is rebuilt, not followed up.
	same := f.timeline() == primary.timeline() || f.timeline() < primary.timeline() && f.standbyData()
	return known && f.holds() && same && f.position() > end
}

func (b *builder) splitBrain(running []*schema.Node) {
	var lines []string
	for _, n := range running {
		f := b.node(n)
		lines = append(lines, fmt.Sprintf("%s: system identifier %s, timeline %d, at %s", n.Name, f.Data.SystemIdentifier, f.Server.Timeline, f.Server.CurrentLSN))
	}
	b.find(schema.SeverityError, nil,
		"Find out which of them has the commits that count, stop the other one by hand, and plan again. Nothing is planned for this cluster until then.\n"+strings.Join(lines, "\n"),
		"%d nodes of cluster %s run as primary", len(running), b.c.Name)
}
