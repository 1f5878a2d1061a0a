package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"al.essio.dev/pkg/shellescape"

	"pg_manage/cmd/internal/nodebin"
	"pg_manage/executor/observe"
	"pg_manage/executor/remote"
	"pg_manage/planner"
	"pg_manage/schema"
)

// world is what one command works with: the declaration, the way to the nodes,
// and what was seen there.
type world struct {
	cfg      *schema.Config
	pool     *remote.Pool
	programs func() (*nodebin.Set, error) // looked for once
	log      *slog.Logger
	now      func() time.Time

	observed *planner.Observed
	plan     *planner.Plan
}

func (a *app) newWorld(cfg *schema.Config) *world {
	return &world{cfg: cfg, pool: remote.NewPool(), programs: sync.OnceValues(nodebin.Find), log: a.logger(), now: a.now}
}

func (w *world) close() {
	if err := w.pool.Close(); err != nil {
		w.log.Debug("closing connections", "error", err)
	}
}

// Host gives the connection to a node.
func (w *world) Host(ctx context.Context, c *schema.Cluster, n *schema.Node) (remote.Host, error) {
	begun := w.now()
	h, err := w.pool.Get(ctx, remote.Options{
		Name: n.Name, Type: n.Connection.Type, Host: n.Host, User: n.Connection.User, Port: n.Connection.Port,
		IdentityFile: n.Connection.IdentityFile, ProxyJump: n.Connection.ProxyJump, Timeout: n.Connection.ConnectTimeout,
	})
	w.log.Debug("connection", "cluster", c.Name, "node", n.Name, "took", w.now().Sub(begun), "error", err)
	return h, err
}

// prepare begins to hash the programs, which a plan needs, while the nodes are looked at.
func (w *world) prepare() {
	go func() {
		if programs, err := w.programs(); err == nil {
			_, _ = programs.Digests() // an error is kept, and met in makePlan
		}
	}()
}

// observe looks at all nodes. What cannot be seen is a fact, not an error; only
// an interrupt ends it.
func (w *world) observe(ctx context.Context) error {
	return w.observeWith(ctx, observe.Options{})
}

func (w *world) observeWith(ctx context.Context, opts observe.Options) error {
	begun := w.now()
	w.observed = observe.Run(ctx, w.cfg, w, opts)
	w.log.Debug("observed", "took", w.now().Sub(begun))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

func (w *world) makePlan(sel planner.Selection) error {
	return w.planWith(planner.Options{Selection: sel})
}

// planWith plans; what every plan needs is filled in.
func (w *world) planWith(o planner.Options) error {
	programs, err := w.programs()
	if err != nil {
		return err
	}
	sums, err := programs.Digests()
	if err != nil {
		return err
	}
	begun := w.now()
	o.Now, o.ToolVersion, o.Binaries = begun.UTC().Truncate(time.Second), toolVersion(), sums
	w.plan = planner.New(w.cfg, w.observed, o)
	w.log.Debug("planned", "steps", len(w.plan.Steps), "took", w.now().Sub(begun))
	w.warnDynamic(programs)
	return nil
}

// warnDynamic adds a finding when a program that needs this machine's C library
// is to be installed on other machines.
func (w *world) warnDynamic(programs *nodebin.Set) {
	for _, s := range w.plan.Steps {
		c := cluster(w.cfg, s.Cluster)
		if s.Kind != planner.KindInstall || c == nil || c.Node(s.Node) == nil || c.Node(s.Node).Connection.Type == "local" {
			continue
		}
		for _, program := range programs.Dynamic() {
			w.plan.Findings = append(w.plan.Findings, planner.Finding{
				Severity: schema.SeverityWarning, Cluster: s.Cluster,
				Summary: fmt.Sprintf("the program to install is not static: %s", program),
				Detail:  "On nodes with an older C library it does not start. Build it with `CGO_ENABLED=0 go build -o bin/ ./cmd/...` and run bin/pg_manage.",
			})
		}
		return
	}
}

func cluster(cfg *schema.Config, name string) *schema.Cluster {
	for _, c := range cfg.Clusters {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// quote is a word as a shell takes it.
func quote(word string) string { return shellescape.Quote(word) }
