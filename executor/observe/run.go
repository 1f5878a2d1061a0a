package observe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"pg_manage/executor/remote"
	"pg_manage/planner"
	"pg_manage/schema"
)

// Dialer gives the connection to a node. It owns the hosts: observing closes none,
// so that what comes after can use them.
type Dialer interface {
	Host(ctx context.Context, c *schema.Cluster, n *schema.Node) (remote.Host, error)
}

// Ask says when a node is told to ask its archive, which takes a command of its own.
type Ask int

// When the archive is asked.
const (
	AskWhenNeeded Ask = iota // unless pg_stat_archiver proves that it takes WAL, or the node is a running standby
	AskAlways
	AskNever
)

// Defaults of Options.
const (
	DefaultParallelism = 50
	DefaultTimeout     = 60 * time.Second
)

// Options say how to look.
type Options struct {
	AskArchive Ask
	// Archiver lets each node tell what its archiver does, which takes 10 ms there. Where
	// an archive is not required that is done in any case, since WAL may wait for it.
	Archiver    bool
	Parallelism int           // nodes at a time; 0 is DefaultParallelism
	Timeout     time.Duration // for one node, connecting included; 0 is DefaultTimeout
	// Restore is a restore in place that is to be planned: its source is asked for its backups.
	Restore *planner.RestoreRequest
}

func (o Options) timeout() time.Duration {
	if o.Timeout > 0 {
		return o.Timeout
	}
	return DefaultTimeout
}

// Run looks at all nodes of all clusters, several at a time. It has no error: a
// node that could not be looked at has the reason in Unreachable.
func Run(ctx context.Context, cfg *schema.Config, d Dialer, opts Options) *planner.Observed {
	limit := opts.Parallelism
	if limit <= 0 {
		limit = DefaultParallelism
	}
	turns := semaphore.NewWeighted(int64(limit))
	out := &planner.Observed{Clusters: map[string]*planner.ClusterFacts{}}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, c := range cfg.Clusters {
		facts := &planner.ClusterFacts{Nodes: map[string]*planner.NodeFacts{}}
		out.Clusters[c.Name] = facts
		var nodes sync.WaitGroup
		for _, n := range c.Nodes {
			nodes.Add(1)
			all.Go(func() {
				defer nodes.Done()
				var f *planner.NodeFacts
				if err := turns.Acquire(ctx, 1); err != nil {
					f = unreachable(err)
				} else {
					f = dialNode(ctx, d, c, n, opts)
					turns.Release(1)
				}
				mu.Lock()
				defer mu.Unlock()
				facts.Nodes[n.Name] = f
			})
		}
		if len(c.Backups) > 0 || c.Bootstrap != nil || opts.Restore != nil {
			all.Go(func() {
				nodes.Wait()
				catalogs(ctx, d, c, facts, opts)
			})
		}
	}
	all.Wait()
	return out
}

func dialNode(ctx context.Context, d Dialer, c *schema.Cluster, n *schema.Node, opts Options) *planner.NodeFacts {
	ctx, cancel := limited(ctx, opts)
	defer cancel()
	h, err := d.Host(ctx, c, n)
	if err != nil {
		return unreachable(cause(ctx, err))
	}
	return Node(ctx, h, c, n, opts)
}

func limited(ctx context.Context, opts Options) (context.Context, context.CancelFunc) {
	t := opts.timeout()
	return context.WithTimeoutCause(ctx, t, fmt.Errorf("no answer within %s: is the machine overloaded, or a network mount hanging?", t))
}

// cause tells why a wait ended, in place of a bare "context deadline exceeded".
func cause(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func unreachable(err error) *planner.NodeFacts {
	return &planner.NodeFacts{Unreachable: message(err.Error())}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// message is oneLine, but a line that is there to be copied (indented, behind a colon) stays a line of its own.
func message(s string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(s, "\n") {
		said := b.String()
		switch text := oneLine(line); {
		case text == "":
		case strings.HasPrefix(line, "    ") && strings.HasSuffix(said, ":"):
			b.WriteString("\n    " + text)
		case said == "":
			b.WriteString(text)
		default:
			b.WriteString(" " + text)
		}
	}
	return b.String()
}
