package demo

import (
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
	for _, node := range []string{Primary, Standby} {
		if err := d.removeState(filepath.Join(d.Owner.HomeDir, ".pg_manage", Cluster, node)); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(d.Dir); err != nil {
		return fmt.Errorf("cannot remove the demo's folder: %w", err)
	}
	return nil
}

// removeState removes what lies outside the folder for a node, if it is this demo's.
func (d *Demo) removeState(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, "hook.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var config struct {
		DataDir string `json:"data_dir"`
	}
	if err == nil {
		err = json.Unmarshal(b, &config)
	}
	if err != nil {
		return fmt.Errorf("demo: cannot tell whether %s is the demo's: %w", dir, err)
	}
	if !strings.HasPrefix(config.DataDir, d.Dir+"/") {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	os.Remove(filepath.Dir(dir)) // the cluster's folder, when nothing else is in it
	return nil
}

// run runs a program as the owner of the instances.
func (d *Demo) run(ctx context.Context, host remote.Host, args ...string) (string, error) {
	r, err := host.Run(ctx, remote.Command{Args: args, As: d.Owner.Username})
	return strings.TrimSpace(string(r.Stdout)), err
}
