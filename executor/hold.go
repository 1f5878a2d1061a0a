package executor

import (
	"context"
	"fmt"

	"pg_manage/executor/remote"
)

// HeldNode is a node whose lease is to be taken.
type HeldNode struct {
	Name  string
	Host  remote.Host
	Owner string
	State string // directory of our files for the node
}

// Hold takes the lease on nodes of one cluster, in the order given, which must be that of
// their names so that two runs cannot wait for each other. The context that it gives ends
// when one of them is lost. A *HeldError says who has it.
func Hold(ctx context.Context, nodes []HeldNode, o LeaseOptions) (held context.Context, release func(), err error) {
	held, cancel := context.WithCancelCause(ctx)
	var leases []*Lease
	release = func() {
		cancel(nil)
		for _, l := range leases {
			l.Release()
		}
	}
	for _, n := range nodes {
		l, err := AcquireLease(ctx, n.Host, n.Name, n.Owner, LeaseDir(n.State), o)
		if err != nil {
			release()
			return nil, nil, fmt.Errorf("%s: %w", n.Name, err)
		}
		leases = append(leases, l)
		go func() {
			select {
			case <-l.Done():
				cancel(l.Err())
			case <-held.Done():
			}
		}()
	}
	return held, release, nil
}
