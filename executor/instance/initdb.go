package instance

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"pg_manage/executor/remote"
	"pg_manage/planner"
	"pg_manage/schema/postgres"
)

// Init makes a new data directory with checksums. It is made beside its place and
// renamed into it when it is whole. Where postgresql-common governs the instance, its
// configuration is made the way pg_createcluster does. The directory must be absent or empty.
func (i *Instance) Init(ctx context.Context, d planner.InitDetail) error {
	if err := i.refuseForeignConfig(ctx); err != nil {
		return err
	}
	if err := i.makeParent(ctx); err != nil {
		return err
	}
	locale, err := i.locale(ctx, d.Locale)
	if err != nil {
		return err
	}
	empty, inPlace, err := i.emptyDir(ctx)
	if err != nil {
		return err
	}
	target := i.building(inPlace)
	err = i.locked(ctx, func(ctx context.Context) error {
		if err := i.removeLeftover(ctx, inPlace); err != nil {
			return err
		}
		_, err := i.Host.Run(ctx, i.guarded(i.program("initdb"), "-D", target, "--data-checksums", "--encoding=UTF8", "--locale="+locale,
			"--auth-local=peer", "--auth-host=scram-sha-256", "--username="+i.Owner))
		return err
	})
	if err != nil {
		return fmt.Errorf("create the data directory: %w", err)
	}
	if err := i.adopt(ctx, target); err != nil {
		return err
	}
	return i.swap(ctx, empty, inPlace, "")
}

// makeParent creates the directories above the data directory, for the owner alone.
func (i *Instance) makeParent(ctx context.Context) error {
	if _, err := i.script(ctx, "create the parent of the data directory", `exec mkdir -p -- "$1"`, path.Dir(strings.TrimRight(i.DataDir, "/"))); err != nil {
		return fmt.Errorf("create the directory above %s (make it for %s by hand, where the owner may not): %w", i.DataDir, i.Owner, err)
	}
	return nil
}

// locale settles which locale initdb is to use.
func (i *Instance) locale(ctx context.Context, declared string) (string, error) {
	if declared != "" {
		return declared, nil
	}
	res, err := i.run(ctx, "locale", "-a")
	var failed *remote.CommandError
	if errors.As(err, &failed) { // no such program: a small system
		return "C", nil
	}
	if err != nil {
		return "", err
	}
	for _, l := range strings.Fields(string(res.Stdout)) {
		if strings.EqualFold(l, "C.UTF-8") || strings.EqualFold(l, "C.utf8") {
			return "C.UTF-8", nil
		}
	}
	return "C", nil
}

// adopt makes Debian's configuration for a data directory that is still to move to its
// place, with pg_createcluster, which takes the configuration files out of it. A
// configuration that exists already stays; only the place of the data is set in it.
// Elsewhere the configuration stays in the data directory, and there is nothing to do.
func (i *Instance) adopt(ctx context.Context, dir string) error {
	name, ok := i.Debian()
	if !ok {
		return nil
	}
	const look = `if [ -f "$1/postgresql.conf" ]; then echo present; exit; fi
d=$1
while [ ! -e "$d" ]; do d=$(dirname -- "$d"); done
if [ -w "$d" ]; then echo owner; else echo root; fi
`
	res, err := i.script(ctx, "look for the configuration", look, i.ConfigDir)
	if err != nil {
		return err
	}
	as := i.Owner
	switch strings.TrimSpace(string(res.Stdout)) {
	case "present":
		return i.adopted(ctx, dir)
	case "root":
		as = "root"
	}
	if _, err := i.script(ctx, "use the system's certificate", snakeoilScript, dir); err != nil {
		return err
	}
	_, err = i.Host.Run(ctx, remote.Command{As: as, Args: []string{
		"env", "LC_ALL=C", "pg_createcluster", "--port", strconv.Itoa(i.Port), "--datadir", dir, "--user", i.Owner,
		strconv.Itoa(i.Major), name,
	}})
	if err != nil {
		return fmt.Errorf("make the configuration of the cluster %d/%s: %w", i.Major, name, err)
	}
	if err := i.adopted(ctx, dir); err != nil {
		return err
	}
	return i.systemdReload(ctx)
}

// snakeoilScript does what pg_createcluster does for a new cluster alone.
const snakeoilScript = `c=/etc/ssl/certs/ssl-cert-snakeoil.pem k=/etc/ssl/private/ssl-cert-snakeoil.key
[ -e "$c" ] && [ -r "$k" ] && [ -f "$1/postgresql.conf" ] || exit 0
grep -q "^ssl = on" "$1/postgresql.conf" && exit 0
printf "ssl = on\nssl_cert_file = '%s'\nssl_key_file = '%s'\n" "$c" "$k" >>"$1/postgresql.conf"
`

// adopted sets the final place of the data in Debian's configuration, and takes the
// configuration files out of a directory that has some besides.
func (i *Instance) adopted(ctx context.Context, dir string) error {
	file := path.Join(i.ConfigDir, "postgresql.conf")
	text, err := remote.ReadFile(ctx, i.Host, file, i.Owner)
	if err != nil {
		return err
	}
	value, err := postgres.QuoteConf(i.DataDir)
	if err != nil {
		return err
	}
	if changed := setConf(string(text), "data_directory", value); changed != string(text) {
		if err := i.replace(ctx, file, changed); err != nil {
			return err
		}
	}
	_, err = i.script(ctx, "take the configuration files out of the new directory",
		`rm -f -- "$1/postgresql.conf" "$1/pg_hba.conf" "$1/pg_ident.conf" "$1/pg_manage.conf"`, dir)
	return err
}

// systemdReload lets Debian's generator see a new cluster, so that it starts with the machine.
func (i *Instance) systemdReload(ctx context.Context) error {
	if i.Manager != planner.ManagerSystemd {
		return nil
	}
	_, err := i.Host.Run(ctx, remote.Command{Args: []string{"systemctl", "daemon-reload"}, As: "root"})
	return err
}
