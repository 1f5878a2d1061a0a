package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strings"

	"pg_manage/cmd/internal/view"
	"pg_manage/executor"
	"pg_manage/executor/event"
	"pg_manage/planner"
)

// reportVersion is the version of what `pg_manage hook audit` and `push-missing` print.
const reportVersion = 1

// audit lets a node read the archives of its cluster. Every target has an entry.
func (a *app) audit(ctx context.Context, w *world, r archiveReader, quick bool) []view.ArchiveAudit {
	args := []string{"audit"}
	if quick {
		args = append(args, "--quick")
	}
	text, err := a.callHook(ctx, w, r, args)
	return audits(r, text, err)
}

// audits reads one report a line. A target of which there is none was not checked, and
// so was nothing when even the targets are not known.
func audits(r archiveReader, text string, err error) []view.ArchiveAudit {
	var out []view.ArchiveAudit
	for line := range nonEmpty(text) {
		var report struct {
			Version int `json:"version"`
			view.ArchiveAudit
			SegmentSize int64 `json:"segment_size"`
			BytesStored int64 `json:"bytes_stored"`
		}
		if jsonErr := json.Unmarshal([]byte(line), &report); jsonErr != nil || report.Version != reportVersion || report.Target == "" {
			err = firstError(err, misunderstood("audit"))
			continue
		}
		x := report.ArchiveAudit
		x.Cluster, x.Node, x.SegmentSize, x.StoredBytes = r.cluster.Name, r.nodeName(), report.SegmentSize, report.BytesStored
		out = append(out, x)
	}
	for _, target := range r.targets() {
		if hasTarget(out, target, func(x view.ArchiveAudit) string { return x.Target }) {
			continue
		}
		out = append(out, view.ArchiveAudit{
			Cluster: r.cluster.Name, Node: r.nodeName(), Target: target, Error: firstError(err, misunderstood("audit")).Error(),
		})
	}
	for i := range out {
		x := &out[i]
		x.Timelines, x.Problems, x.Recoverable = orEmpty(x.Timelines), orEmpty(x.Problems), orEmpty(x.Recoverable)
		for j := range x.Timelines {
			t := &x.Timelines[j]
			t.Ranges, t.Missing = orEmpty(t.Ranges), orEmpty(t.Missing)
		}
	}
	return out
}

// push lets a node store what its archives lack.
func (a *app) push(ctx context.Context, w *world, r archiveReader, dryRun bool) []view.NodePush {
	args := []string{"push-missing"}
	if dryRun {
		args = append(args, "--dry-run")
	}
	text, err := a.callHook(ctx, w, r, args)
	return pushes(r, text, err)
}

// pushes reads one report a line. An error that no report tells of is one of its own.
func pushes(r archiveReader, text string, err error) []view.NodePush {
	var out []view.NodePush
	ok := true
	for line := range nonEmpty(text) {
		var report struct {
			Version int `json:"version"`
			view.NodePush
		}
		if jsonErr := json.Unmarshal([]byte(line), &report); jsonErr != nil || report.Version != reportVersion {
			err = firstError(err, misunderstood("push-missing"))
			ok = false
			continue
		}
		report.Cluster, report.Node = r.cluster.Name, r.nodeName()
		ok = ok && report.OK()
		out = append(out, report.NodePush)
	}
	if len(out) == 0 {
		err = firstError(err, misunderstood("push-missing"))
	}
	if err != nil && (ok || len(out) == 0) { // else the status says what the reports say
		out = append(out, view.NodePush{Cluster: r.cluster.Name, Node: r.nodeName(), Error: err.Error()})
	}
	for i := range out {
		x := &out[i]
		x.Pushed, x.Unpushable, x.Failed = orEmpty(x.Pushed), orEmpty(x.Unpushable), orEmpty(x.Failed)
	}
	return out
}

// targets are those that the node's configuration has, since these are what it looks at;
// without one, those that are declared.
func (r archiveReader) targets() []string {
	var out []string
	if r.facts != nil {
		if h, ok := planner.DecodeHookConfig(r.facts.Files.HookConfig); ok {
			for _, t := range h.Targets {
				out = append(out, t.Name)
			}
			return out
		}
	}
	for _, a := range planner.ArchiveOrder(r.cluster) {
		out = append(out, a.Target.Name)
	}
	return out
}

// callHook runs our program on the node, and shows what it tells of its progress.
func (a *app) callHook(ctx context.Context, w *world, r archiveReader, args []string) (stdout string, err error) {
	if r.err != nil {
		return "", r.err
	}
	h, err := w.Host(ctx, r.cluster, r.node)
	if err != nil {
		return "", err
	}
	var progress io.Writer
	if !a.json && !a.quiet {
		task := view.NewTask(a.stderr, a.style(a.stderr), r.cluster.Name+"/"+r.node.Name, a.now)
		defer task.Finish()
		progress = &event.LineReader{Sink: task}
	}
	res, err := executor.CallHook(ctx, h, r.facts.Paths, r.facts.Host.Owner, executor.HookCall{Args: args, Stderr: progress, Leash: true})
	return string(res.Stdout), err
}

func nonEmpty(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" && !yield(line) {
				return
			}
		}
	}
}

func misunderstood(command string) error {
	return fmt.Errorf("`pg_manage hook %s` on the node gave an answer that this version does not understand: run `pg_manage apply`, which installs this version", command)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func hasTarget[T any](all []T, target string, of func(T) string) bool {
	for _, x := range all {
		if of(x) == target {
			return true
		}
	}
	return false
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
