package observe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"

	"pg_manage/executor/remote"
	"pg_manage/planner"
)

// askSeconds is how long a node may take to ask its archive.
const askSeconds = "15"

// archiveFact finds out how the node sees its archive: from pg_stat_archiver where
// that proves enough, else by asking the target through the binary on the node.
func (p *probe) archiveFact(ctx context.Context, f *planner.NodeFacts, opts Options) {
	if p.c.Archive == nil {
		return
	}
	a := &f.Archive
	if f.Files.HookConfig == "" || f.Host.Installed["pg_manage"] == "" {
		a.Error = "known after the binaries and the archive configuration are on the node"
		return
	}
	s := &f.Server
	mode := s.Settings["archive_mode"].Value
	if opts.AskArchive != AskAlways && s.Accepting && !s.InRecovery && mode != "" && mode != "off" && s.Archiver.Proven() {
		a.State, a.SystemIdentifier, a.Evidence = planner.ArchiveOurs, f.Data.SystemIdentifier, "archiver"
		return
	}
	if opts.AskArchive == AskNever || opts.AskArchive == AskWhenNeeded && s.Accepting && s.InRecovery {
		a.Error = "not asked"
		return
	}
	p.askArchive(ctx, f)
}

func (p *probe) askArchive(ctx context.Context, f *planner.NodeFacts) {
	a := &f.Archive
	a.Evidence = "asked"
	res, err := p.h.Run(ctx, remote.Command{
		Args: []string{
			"timeout", askSeconds, path.Join(f.Paths.Tool, "pg_manage"),
			"hook", "--config", path.Join(f.Paths.State, "hook.json"), "status",
		},
		As: p.owner,
	})
	var said struct {
		State            planner.ArchiveState `json:"state"`
		SystemIdentifier string               `json:"system_identifier"`
		Error            string               `json:"error"`
	}
	if json.Unmarshal(res.Stdout, &said) == nil {
		switch said.State {
		case planner.ArchiveAbsent, planner.ArchiveOurs, planner.ArchiveForeign, planner.ArchiveUnreachable:
			a.State, a.SystemIdentifier, a.Error = said.State, said.SystemIdentifier, message(said.Error)
			return
		}
	}
	a.State = planner.ArchiveUnreachable
	var failed *remote.CommandError
	switch {
	case errors.As(err, &failed) && failed.Status == 124:
		a.Error = fmt.Sprintf("%s: the target did not answer within %s seconds", p.h.Name(), askSeconds)
	case err != nil:
		a.Error = message(cause(ctx, err).Error())
	default:
		a.Error = fmt.Sprintf("%s: `pg_manage hook status` gave an answer that this version does not understand", p.h.Name())
	}
}
