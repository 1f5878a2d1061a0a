package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"pg_manage/executor/remote"
)

// Destroy stops the instances of the demo and removes its folder.
func (d *Demo) Destroy(ctx context.Context, host remote.Host, binDir string) error {
	for _, node := range []string{Standby, Primary} {
		data := filepath.Join(d.Dir, node)
		if _, err := os.Stat(filepath.Join(data, "postmaster.pid")); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if _, err := d.run(ctx, host, filepath.Join(binDir, "pg_ctl"), "status", "-D", data); err != nil {
			var failed *remote.CommandError
			// 3: no server runs there, 4: no data directory (manual, pg_ctl)
			if errors.As(err, &failed) && (failed.Status == 3 || failed.Status == 4) {
				continue
			}
			return err
		}
		if _, err := d.run(ctx, host, filepath.Join(binDir, "pg_ctl"), "stop", "-w", "-m", "fast", "-D", data); err != nil {
			return fmt.Errorf("cannot stop %s, so nothing was removed: %w", node, err)
		}
	}
	if err := d.removeStates(); err != nil {
		return err
	}
	if err := os.RemoveAll(d.Dir); err != nil {
		return fmt.Errorf("cannot remove the demo's folder: %w", err)
	}
	return nil
}

// removeStates removes what lies below the owner's home for this demo, and the
// programs there when no other cluster uses them.
func (d *Demo) removeStates() error {
	top := filepath.Join(d.Owner.HomeDir, ".pg_manage")
	for _, node := range []string{Primary, Standby} {
		state := filepath.Join(top, d.Cluster(), node)
		if !d.owns(state) {
			continue
		}
		if err := os.RemoveAll(state); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	os.Remove(filepath.Join(top, d.Cluster())) // when nothing else is in it
	left, err := os.ReadDir(top)
	if err != nil || len(left) != 1 || left[0].Name() != "bin" {
		return nil // it is not there, or others use it
	}
	if err := os.RemoveAll(top); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

// owns says whether the state of a node is this demo's: it names this data
// directory, or it has this password.
func (d *Demo) owns(state string) bool {
	var config struct {
		DataDir string `json:"data_dir"`
	}
	if b, err := os.ReadFile(filepath.Join(state, "hook.json")); err == nil && json.Unmarshal(b, &config) == nil {
		return strings.HasPrefix(config.DataDir, d.Dir+"/")
	}
	password, err1 := os.ReadFile(filepath.Join(d.Dir, passwordFile))
	passfile, err2 := os.ReadFile(filepath.Join(state, "passfile"))
	return err1 == nil && err2 == nil && len(password) > 0 && bytes.Contains(passfile, password)
}

// run runs a program as the owner of the instances.
func (d *Demo) run(ctx context.Context, host remote.Host, args ...string) (string, error) {
	r, err := host.Run(ctx, remote.Command{Args: args, As: d.Owner.Username})
	return strings.TrimSpace(string(r.Stdout)), err
}
