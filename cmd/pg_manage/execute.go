package main

import (
	"context"
	"fmt"
	"os"

	"pg_manage/cmd/internal/view"
	"pg_manage/executor"
	"pg_manage/executor/event"
	"pg_manage/executor/observe"
	"pg_manage/executor/remote"
	"pg_manage/planner"
)

// execute carries out the plan.
func (w *world) execute(ctx, abort context.Context, o *applyOptions, sink event.Sink) (view.Outcome, error) {
	report, err := executor.Run(ctx, w.plan, executor.Env{
		Config:      w.cfg,
		Host:        w.host,
		Observe:     w.observeNode,
		Binary:      w.binary,
		Sink:        sink,
		Parallelism: o.parallelism,
		Abort:       abort,
		Lease:       lease(o.lockTimeout),
	})
	if err != nil {
		return view.Outcome{}, err
	}
	out := view.Outcome{Interrupted: report.Interrupted, Elapsed: report.Elapsed}
	for _, r := range report.Results {
		switch r.Status {
		case executor.StatusDone:
			out.Done = append(out.Done, r.Step)
		case executor.StatusFailed:
			out.Failed = append(out.Failed, view.StepFailure{Step: r.Step, Error: r.Error})
		default:
			out.Skipped = append(out.Skipped, r.Step)
		}
	}
	return out, nil
}

func (w *world) host(ctx context.Context, clusterName, node string) (remote.Host, error) {
	c := cluster(w.cfg, clusterName)
	if c == nil || c.Node(node) == nil {
		return nil, fmt.Errorf("no node %s/%s is declared", clusterName, node)
	}
	return w.Host(ctx, c, c.Node(node))
}

// observeNode looks at one node again, as before and after each step.
func (w *world) observeNode(ctx context.Context, clusterName, node string) *planner.NodeFacts {
	h, err := w.host(ctx, clusterName, node)
	if err != nil {
		return &planner.NodeFacts{Unreachable: err.Error()}
	}
	c := cluster(w.cfg, clusterName)
	return observe.Node(ctx, h, c, c.Node(node), observe.Options{})
}

// binary opens a program for a node.
func (w *world) binary(arch, name string) (executor.Binary, error) {
	programs, err := w.programs()
	if err != nil {
		return executor.Binary{}, err
	}
	path, err := programs.Path(arch, name)
	if err != nil {
		return executor.Binary{}, err
	}
	sums, err := programs.Digests()
	if err != nil {
		return executor.Binary{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return executor.Binary{}, fmt.Errorf("cannot read the program for nodes: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return executor.Binary{}, fmt.Errorf("cannot read the program for nodes: %w", err)
	}
	return executor.Binary{Content: f, Size: info.Size(), SHA256: sums[arch][name]}, nil
}
