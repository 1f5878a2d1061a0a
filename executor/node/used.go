package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"pg_manage/planner"
)

func (p Place) used(system string) planner.UsedPlace {
	b := planner.BackupPlace{Target: planner.HookTarget(p.Target), BackupDir: p.BackupDir, Cluster: p.Cluster}
	return b.UsedFor(planner.UsedForBackups, system, time.Now())
}

// refuseVanished refuses a place that seems empty, and that this node has stored a backup at;
// system is the cluster's identifier, "" is any.
func refuseVanished(p Place, system, stateDir string) error {
	file := filepath.Join(stateDir, p.used(system).File())
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	u, err := planner.DecodeUsed(text)
	if err != nil {
		return fmt.Errorf("%s cannot be understood: %w: remove it if the place %s is new", file, err, p.used(system).Place)
	}
	if system != "" && u.SystemIdentifier != system {
		return nil // of a cluster that was here before
	}
	return errors.New(u.Vanished(file))
}

// noteUse notes that a place has taken a backup.
func noteUse(p Place, system, stateDir string) error {
	u := p.used(system)
	file := filepath.Join(stateDir, u.File())
	if text, err := os.ReadFile(file); err == nil {
		if have, err := planner.DecodeUsed(text); err == nil && have.SystemIdentifier == system {
			return nil
		}
	}
	return renameio.WriteFile(file, u.Encode(), 0o600)
}
