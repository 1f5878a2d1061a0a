package hosts

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"pg_manage/testdata/lab"
)

// installPgBackRest installs Debian's packages of it. They come over this machine's
// network, for the hosts have none, and stay in the lab's cache.
func (p *Pair) installPgBackRest(ctx context.Context) error {
	cache, err := lab.CacheDir()
	if err != nil {
		return err
	}
	cache = filepath.Join(cache, "debs-"+p.DB.Suite)
	debs := p.Path(Dir + "/debs")
	if _, err := os.Stat(cache); err != nil {
		download := exec.CommandContext(ctx, "nsenter", "-t", fmt.Sprint(p.DB.Init), "-m", "-u", "-i", "-p", "-r", "-w", "--", "sh", "-euc",
			"apt-get clean; apt-get -q update; apt-get -q install -y --no-install-recommends --download-only pgbackrest; mkdir /bench/debs; mv /var/cache/apt/archives/*.deb /bench/debs")
		if out, err := download.CombinedOutput(); err != nil {
			return fmt.Errorf("download of pgbackrest: %w\n%s", err, out)
		}
		if err := OnMachine("cp", "-r", debs, cache); err != nil {
			return err
		}
	} else if err := OnMachine("cp", "-r", cache, debs); err != nil {
		return err
	}
	if err := OnMachine("cp", "-r", debs, p.VaultPath(Dir)); err != nil {
		return err
	}
	for _, h := range []*Host{p.DB, p.Vault} {
		if _, err := h.Exec("sh", "-euc", "DEBIAN_FRONTEND=noninteractive dpkg -i /bench/debs/*.deb; rm -r /bench/debs"); err != nil {
			return err
		}
	}
	return nil
}
