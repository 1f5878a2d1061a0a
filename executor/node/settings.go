package node

import (
	"context"

	"pg_manage/executor/basebackup/recovery"
)

// settings writes those of a recovery, or takes them away.
func settings(_ context.Context, _ Work, req *SettingsRequest) (*SettingsResult, error) {
	if _, err := enter("", "", req.DataDir, req.StateDir); err != nil {
		return nil, err
	}
	res := &SettingsResult{Version: Version}
	switch {
	case req.DataDir == "":
		return nil, misuse("data_dir is empty")
	case req.Clean:
		return res, recovery.Clean(req.DataDir)
	case req.Recovery == nil:
		return nil, misuse("recovery is missing")
	}
	r := req.Recovery
	return res, recovery.Write(req.DataDir, recovery.Settings{
		Target:         recovery.Target{Time: r.Time, LSN: r.LSN, XID: r.XID, Name: r.Name, Immediate: r.Immediate, Exclusive: r.Exclusive, Timeline: r.Timeline},
		RestoreCommand: req.RestoreCommand, Standby: req.Standby, ConfigDir: req.ConfigDir, Fenced: !req.Standby,
	})
}
