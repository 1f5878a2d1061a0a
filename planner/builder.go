package planner

import (
	"fmt"
	"maps"
	"slices"

	"pg_manage/schema"
)

// builder gathers the steps and findings of one cluster.
type builder struct {
	c        *schema.Cluster
	facts    *ClusterFacts
	opts     Options
	steps    []Step
	index    map[string]int // ID -> position in steps
	findings []Finding

	primary   *schema.Node                 // the node that is primary, or is to become it; nil when that is not known
	halted    map[string]bool              // nodes for which nothing may be planned
	repointed map[string]bool              // standbys that will ask another server, or ask in another way
	floors    string                       // why no setting of standbyFloor may be changed on the primary
	values    map[string]map[string]string // what each node's settings must be
	files     map[string]string            // the same as the text of pg_manage.conf

	config  *schema.Config        // all that is declared
	seen    map[string]*NodeFacts // what was observed of nodes that are planned for as if they were otherwise
	inPlace *inPlace              // a restore in place is planned; nil otherwise
	renewed bool                  // and ends with backups of what came of it
}

func newBuilder(config *schema.Config, c *schema.Cluster, facts *ClusterFacts, opts Options) *builder {
	return &builder{config: config, c: c, facts: facts, opts: opts, seen: map[string]*NodeFacts{}, index: map[string]int{}, halted: map[string]bool{}, repointed: map[string]bool{}, values: map[string]map[string]string{}, files: map[string]string{}}
}

// node gives the facts of a node; never nil.
func (b *builder) node(n *schema.Node) *NodeFacts {
	if f := b.facts.Nodes[n.Name]; f != nil {
		return f
	}
	return &NodeFacts{Unreachable: "the node was not looked at"}
}

// observed gives the facts of a node as they are, also where the plan goes on as if it
// were empty or stopped already.
func (b *builder) observed(n *schema.Node) *NodeFacts {
	if f := b.seen[n.Name]; f != nil {
		return f
	}
	return b.node(n)
}

// pretend plans for a node on other facts than those that were observed.
func (b *builder) pretend(n *schema.Node, f *NodeFacts) {
	if b.seen[n.Name] == nil {
		b.seen[n.Name] = b.node(n)
	}
	nodes := maps.Clone(b.facts.Nodes)
	nodes[n.Name] = f
	b.facts = &ClusterFacts{Nodes: nodes}
}

// id is the ID that a step of this node has, or would have.
func (b *builder) id(n *schema.Node, kind Kind, name ...string) string {
	return StepID(append([]string{b.c.Name, n.Name, string(kind)}, name...)...)
}

// has says whether a step is part of the plan so far.
func (b *builder) has(id string) bool { _, ok := b.index[id]; return ok }

// add puts a step into the plan. Its cluster, node, kind and instance are filled in here.
func (b *builder) add(n *schema.Node, d Detail, s Step, name ...string) string {
	s.Kind, s.Detail = d.kind(), d
	s.ID = b.id(n, s.Kind, name...)
	s.Cluster, s.Node = b.c.Name, n.Name
	s.Instance = b.instance(n)
	if s.Effect == "" {
		s.Effect = EffectNone
	}
	b.index[s.ID] = len(b.steps)
	b.steps = append(b.steps, s)
	return s.ID
}

func (b *builder) instance(n *schema.Node) Instance {
	f := b.node(n)
	return Instance{
		Owner: f.Host.Owner, Major: b.c.Version, Port: n.Port,
		BinDir: f.Paths.BinDir, DataDir: f.Paths.DataDir, ConfigDir: f.Paths.ConfigDir,
		SocketDir: f.Paths.SocketDir, Manager: f.Paths.Manager, Unit: f.Paths.Unit,
		Tool: f.Paths.Tool, State: f.Paths.State,
	}
}

func (b *builder) find(sev schema.Severity, n *schema.Node, detail, format string, args ...any) {
	f := Finding{Severity: sev, Cluster: b.c.Name, Summary: fmt.Sprintf(format, args...), Detail: detail}
	if n != nil {
		f.Node = n.Name
	}
	b.findings = append(b.findings, f)
}

// errorf records what stands in the way of a node and plans nothing more for it.
func (b *builder) errorf(n *schema.Node, detail, format string, args ...any) {
	b.find(schema.SeverityError, n, detail, format, args...)
	b.halted[n.Name] = true
}

func (b *builder) warnf(n *schema.Node, detail, format string, args ...any) {
	b.find(schema.SeverityWarning, n, detail, format, args...)
}

// unobserved names the nodes other than n of which nobody can say what data and
// what role they have: not reached, not readable, or running without an answer.
func (b *builder) unobserved(n *schema.Node) []string {
	var out []string
	for _, o := range b.c.Nodes {
		if f := b.node(o); o != n && (f.Unreachable != "" || f.Data.State == DataUnknown || f.Server.Running && !f.Server.Accepting) {
			out = append(out, o.Name)
		}
	}
	return out
}

// finish drops needs that turned out not to be steps and hands blocks on to what depends on them.
func (b *builder) finish() {
	for i := range b.steps {
		s := &b.steps[i]
		s.Needs = slices.DeleteFunc(s.Needs, func(id string) bool { return !b.has(id) || id == s.ID })
		slices.Sort(s.Needs)
		s.Needs = slices.Compact(s.Needs)
	}
	b.steps = order(b.steps)
	blocked := map[string]bool{}
	for i := range b.steps {
		s := &b.steps[i]
		if s.Blocked == "" {
			for _, id := range s.Needs {
				if blocked[id] {
					s.Blocked = "it needs " + id + ", which is blocked"
					break
				}
			}
		}
		blocked[s.ID] = s.Blocked != ""
	}
}
