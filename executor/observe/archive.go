package observe

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"pg_manage/executor/remote"
	"pg_manage/planner"
)

// askSeconds is how long a node may take to ask its archives.
const askSeconds = "15"

// How it is known what an archive is.
const (
	evidenceAsked    = "asked"
	evidenceArchiver = "archiver"
	evidenceQueue    = "queue"
)

// archiveFacts finds out how the node sees its archives: from pg_stat_archiver, and from
// what waits on the node, where these prove enough; else by asking the targets through
// the binary on the node.
func (p *probe) archiveFacts(ctx context.Context, s *sections, f *planner.NodeFacts, opts Options) {
	if !p.c.Archived() {
		return
	}
	if told, err := parseHookStatus(s.get("archiver")); err == nil {
		told.fill(f)
	}
	have, readable := planner.DecodeHookConfig(f.Files.HookConfig)
	want := planner.NewHookConfig(p.c, p.n.Name, f.Paths)
	proven := opts.AskArchive != AskAlways && provenSince(f, s.get("hook_changed"))
	ask := false
	for i := range want.Targets {
		t := &want.Targets[i]
		a := planner.ArchiveFact{Target: t.Name}
		now := have.Target(t.Name)
		switch {
		case !readable || f.Host.Installed["pg_manage"] == "" || have.Cluster != want.Cluster || now == nil || !now.SamePlace(t):
			a.Error = "known after the binaries and the archive configuration are on the node"
		case proven && now.Required:
			a.State, a.SystemIdentifier, a.Evidence = planner.ArchiveOurs, f.Data.SystemIdentifier, evidenceArchiver
		case proven && drained(f, t.Name):
			a.State, a.SystemIdentifier, a.Evidence = planner.ArchiveOurs, f.Data.SystemIdentifier, evidenceQueue
		case opts.AskArchive == AskNever || opts.AskArchive == AskWhenNeeded && f.Server.Accepting && f.Server.InRecovery:
			a.Error = "not asked"
		default:
			a.Evidence, ask = evidenceAsked, true
			if now.Required {
				a.Took = tookSince(f, s.get("hook_changed"))
			}
		}
		f.Archives = append(f.Archives, a)
	}
	if ask {
		p.askArchives(ctx, f)
	}
}

// provenSince says that the archives that PostgreSQL waits for took a segment since the
// hook's configuration changed, and that nothing failed after that. changed is a number
// of seconds, by the clock that PostgreSQL's times are from.
func provenSince(f *planner.NodeFacts, changed string) bool {
	s := &f.Server
	mode := s.Settings["archive_mode"].Value
	if !s.Accepting || s.InRecovery || mode == "" || mode == "off" || !s.Archiver.Proven() {
		return false
	}
	seconds, err := strconv.ParseInt(changed, 10, 64)
	return err == nil && !s.Archiver.LastTime.Before(time.Unix(seconds+1, 0))
}

// tookSince is when WAL was last archived with the hook's present configuration: to every
// archive that PostgreSQL waits for. The zero time: not that anybody knows.
func tookSince(f *planner.NodeFacts, changed string) time.Time {
	a := f.Server.Archiver
	seconds, err := strconv.ParseInt(changed, 10, 64)
	if err != nil || a == nil || a.LastTime.Before(time.Unix(seconds+1, 0)) || !strings.Contains(f.Server.Settings["archive_command"].Value, "pg_manage-hook") {
		return time.Time{}
	}
	return a.LastTime
}

// drained says that all WAL that was archived is at this target too.
func drained(f *planner.NodeFacts, target string) bool {
	q := f.Archiving.Queue(target)
	return q != nil && q.Segments == 0 && q.Error == "" && len(q.Dropped) == 0
}

// askArchives asks about all targets in one command, and takes the answers for those
// that are not known otherwise.
func (p *probe) askArchives(ctx context.Context, f *planner.NodeFacts) {
	res, err := p.h.Run(ctx, remote.Command{
		Args: []string{
			"timeout", askSeconds, path.Join(f.Paths.Tool, "pg_manage"),
			"hook", "--config", path.Join(f.Paths.State, "hook.json"), "status",
		},
		As: p.owner,
	})
	told, parseErr := parseHookStatus(string(res.Stdout))
	why := ""
	var failed *remote.CommandError
	switch {
	case parseErr == nil && told.Error != "":
		why = message(told.Error)
	case parseErr == nil:
		told.fill(f)
	case errors.As(err, &failed) && failed.Status == 124:
		why = fmt.Sprintf("%s: the target did not answer within %s seconds", p.h.Name(), askSeconds)
	case err != nil:
		why = message(cause(ctx, err).Error())
	default:
		why = p.misunderstood()
	}
	for i := range f.Archives {
		a := &f.Archives[i]
		if a.Evidence != evidenceAsked {
			continue
		}
		a.State, a.Error = planner.ArchiveUnreachable, why
		if why != "" {
			continue
		}
		t := told.target(a.Target)
		if t == nil || !t.State.Known() {
			a.Error = p.misunderstood()
			continue
		}
		a.State, a.SystemIdentifier, a.Error = t.State, t.SystemIdentifier, message(t.Error)
	}
}

func (p *probe) misunderstood() string {
	return fmt.Sprintf("%s: `pg_manage hook status` gave an answer that this version does not understand", p.h.Name())
}
