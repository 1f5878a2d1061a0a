package fleet

import (
	"context"
	"errors"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"pg_manage/executor/observe"
	"pg_manage/executor/remote"
	"pg_manage/schema"
)

// recorded is what the probe of a vacant node said, and the processor time that it took (the median): on a
// loaded machine the time by the clock would be longer, and the ratio look better.
type recorded struct {
	owner string
	reply []byte
	took  time.Duration
}

// record probes a vacant node of this machine.
func record(b *testing.B) *recorded {
	b.Helper()
	r := &recorded{owner: me(b)}
	cfg := vacant(b, r.owner, 2)
	cfg.Clusters[0].Nodes = cfg.Clusters[0].Nodes[:1]
	var took []time.Duration
	for range 11 {
		h := &listener{Host: remote.NewLocal("here"), r: r}
		seen := observe.Run(b.Context(), cfg, reach(func(context.Context, *schema.Node) (remote.Host, error) { return h, nil }), observe.Options{})
		if f := seen.Node(cfg.Clusters[0].Name, cfg.Clusters[0].Nodes[0].Name); f.Unreachable != "" || len(r.reply) == 0 {
			b.Fatalf("%+v", f)
		}
		took = append(took, h.took)
	}
	r.took = slices.Sorted(slices.Values(took))[len(took)/2]
	return r
}

// listener is this machine, and notes what is said.
type listener struct {
	remote.Host
	r    *recorded
	took time.Duration
}

func (h *listener) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	begun := used(syscall.RUSAGE_CHILDREN)
	res, err := h.Host.Run(ctx, cmd)
	h.r.reply, h.took = res.Stdout, used(syscall.RUSAGE_CHILDREN)-begun
	return res, err
}

// replay is a host that says at once what was recorded.
type replay struct {
	name string
	r    *recorded
}

func (h *replay) Name() string      { return h.name }
func (h *replay) LoginUser() string { return h.r.owner }
func (h *replay) Close() error      { return nil }

func (h *replay) Run(context.Context, remote.Command) (remote.Result, error) {
	return remote.Result{Stdout: h.r.reply}, nil
}

func (h *replay) Dial(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("nothing listens there")
}
