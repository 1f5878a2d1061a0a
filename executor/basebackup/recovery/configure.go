package recovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"al.essio.dev/pkg/shellescape"

	"pg_manage/executor/repo"
	"pg_manage/executor/repo/catalog"
	"pg_manage/executor/wal"
	"pg_manage/schema/postgres"
)

// configure gives the restored directory a configuration of its own, in which nothing of the
// source's counts: what it listens to, archives to and follows.
func (d *drill) configure(ctx context.Context) (*postgres.ControlData, error) {
	control, err := d.control(ctx)
	if err != nil {
		return nil, err
	}
	preload, err := d.preload(ctx)
	if err != nil {
		return nil, err
	}
	restoreCommand := ""
	if d.info.WAL == catalog.WALArchived {
		if restoreCommand, err = d.hook(); err != nil {
			return nil, err
		}
	}
	// It overrides all other files, so it must not be the source's.
	auto := filepath.Join(d.scratch.data(), autoConf)
	if err := os.Rename(auto, auto+".source"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, name := range []string{"postgresql.conf", "pg_manage.conf"} { // not read, but looked at by Write
		file := filepath.Join(d.scratch.data(), name)
		if err := os.Rename(file, file+".source"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	s := Settings{RestoreCommand: restoreCommand, Target: Target{Timeline: "current"}}
	if restoreCommand != "" && !d.Latest {
		s.Target.Immediate = true
	}
	if err := Write(d.scratch.data(), s); err != nil {
		return nil, err
	}
	if err := Fence(d.scratch.data()); err != nil {
		return nil, err
	}
	return control, d.files(control, preload)
}

func (d *drill) program(name string) string { return filepath.Join(d.BinDir, name) }

// control reads the control file.
func (d *drill) control(ctx context.Context) (*postgres.ControlData, error) {
	out, err := d.output(ctx, "pg_controldata", "-D", d.scratch.data())
	if err != nil {
		return nil, err
	}
	return postgres.ParseControlData(out)
}

// output runs one of PostgreSQL's programs.
func (d *drill) output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, d.program(name), args...)
	cmd.Env = environment()
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(out), fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return string(out), nil
}

// environment is ours without what steers PostgreSQL and its clients.
func environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "PG") || strings.HasPrefix(kv, "LC_") || strings.HasPrefix(kv, "LANG")
	})
	return append(env, "LC_ALL=C")
}

// preload gives the source's shared_preload_libraries as far as they are installed here.
func (d *drill) preload(ctx context.Context) (string, error) {
	wanted := slices.Clone(d.Preload)
	for _, file := range []string{"postgresql.conf", "pg_manage.conf", autoConf} { // the last one counts
		text, err := os.ReadFile(filepath.Join(d.scratch.data(), file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		entries, err := postgres.ParseConf(string(text))
		if err != nil {
			continue
		}
		for _, e := range entries {
			if strings.EqualFold(e.Name, "shared_preload_libraries") {
				wanted = libraries(e.Value)
			}
		}
	}
	if len(wanted) == 0 {
		return "", nil
	}
	dir, err := d.output(ctx, "pg_config", "--pkglibdir")
	if err != nil {
		dir, err = d.sibling(err)
		if err != nil {
			return "", err
		}
	}
	var have []string
	for _, lib := range wanted {
		file := strings.TrimPrefix(lib, "$libdir/")
		if !filepath.IsAbs(file) {
			file = filepath.Join(strings.TrimSpace(dir), file)
		}
		if !strings.HasSuffix(file, ".so") {
			file += ".so"
		}
		if _, err := os.Stat(file); err != nil {
			d.Notice(fmt.Sprintf("the source preloads %s, which is not installed here: the drill goes on without it", lib))
			continue
		}
		have = append(have, lib)
	}
	return strings.Join(have, ", "), nil
}

// sibling is where Debian keeps the libraries; its pg_config comes with another package.
func (d *drill) sibling(cause error) (string, error) {
	dir := filepath.Join(filepath.Dir(filepath.Clean(d.BinDir)), "lib")
	if _, err := os.Stat(filepath.Join(dir, "plpgsql.so")); err != nil {
		return "", fmt.Errorf("where PostgreSQL's libraries are is not known: %w", cause)
	}
	return dir, nil
}

// libraries takes a list of names apart, as PostgreSQL does (varlena.c, SplitDirectoriesString).
func libraries(list string) (out []string) {
	for _, name := range strings.Split(list, ",") {
		if name = strings.Trim(strings.TrimSpace(name), `"`); name != "" {
			out = append(out, name)
		}
	}
	return out
}

// hook writes the configuration with which the server fetches WAL, and can do nothing
// else, and gives restore_command.
func (d *drill) hook() (string, error) {
	c := wal.Config{
		Version: wal.ConfigVersion, Cluster: d.Cluster, Node: d.Node + "-drill", DataDir: d.scratch.data(), ReadOnly: true,
		SpoolDir: filepath.Join(d.scratch.dir, configDir),
	}
	for _, t := range d.Archives {
		c.Targets = append(c.Targets, d.reachable(t))
	}
	text, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	file := filepath.Join(d.scratch.dir, configDir, "hook.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return "", err
	}
	command := d.Hook
	if command == "" {
		own, err := os.Executable()
		if err != nil {
			return "", err
		}
		command = shellescape.Quote(own) + " hook"
	}
	// Of a Go program that gets no memory 2 is the kernel's word, and not that the archive ends.
	return strings.ReplaceAll(command+" --config "+shellescape.Quote(file), "%", "%%") + " restore %f %p; s=$?; [ $s -ne 2 ] || s=200; exit $s", nil
}

// reachable lets the target be logged in to with the instance's keys.
func (d *drill) reachable(t repo.Target) repo.Target {
	if key := filepath.Join(d.StateDir, "ssh", "id_ed25519"); t.Scheme == "ssh" && t.IdentityFile == "" {
		if _, err := os.Stat(key); err == nil {
			t.IdentityFile = key
		}
	}
	return t
}

// files writes postgresql.conf and who may log in.
func (d *drill) files(control *postgres.ControlData, preload string) error {
	own, err := user.Current()
	if err != nil {
		return err
	}
	port := strconv.Itoa(20000 + rand.IntN(40000))
	conf := []setting{
		{"listen_addresses", ""},
		{"unix_socket_directories", `"` + d.scratch.marker.SocketDir + `"`},
		{"unix_socket_permissions", "0700"},
		{"port", port},
		{"hba_file", d.configFile("pg_hba.conf")},
		{"ident_file", d.configFile("pg_ident.conf")},
		{"archive_mode", "off"},
		{"hot_standby", "off"}, // it opens only when recovery has ended, so that settings of the source do not matter
		{"shared_buffers", "128MB"},
		{"huge_pages", "off"},
		{"fsync", "off"},
		{"full_page_writes", "off"},
		{"autovacuum", "off"},
		{"max_wal_size", "1GB"},
		{"logging_collector", "off"},
		{"log_destination", "stderr"},
		{"lc_messages", "C"},
		{"shared_preload_libraries", preload},
		// Nothing starts by itself: subscriptions would take from their publishers what is the
		// source's, and jobs of extensions would be done twice. Without hot_standby it may be lower
		// than it was (xlog.c, CheckRequiredParameterValues).
		{"max_worker_processes", "0"},
		{"max_logical_replication_workers", "0"},
	}
	if d.Major >= 17 {
		conf = append(conf, setting{"event_triggers", "off"}) // those on login would run for each database
	}
	for _, name := range []string{"max_connections", "max_wal_senders", "max_prepared_transactions", "max_locks_per_transaction"} {
		if v := control.Settings[name]; v != "" {
			conf = append(conf, setting{name, v})
		}
	}
	text := ""
	for _, l := range conf {
		q, err := postgres.QuoteConf(l.value)
		if err != nil {
			return err
		}
		text += l.name + " = " + q + "\n"
	}
	for name, content := range map[string]string{
		"postgresql.conf": text,
		"pg_hba.conf":     "local all all peer map=drill\n",
		"pg_ident.conf":   fmt.Sprintf("drill %s %s\n", quoteIdent(own.Username), quoteIdent(d.User)),
	} {
		if err := os.WriteFile(d.configFile(name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	d.server = &server{drill: d, port: port}
	return nil
}

func (d *drill) configFile(name string) string { return filepath.Join(d.scratch.dir, configDir, name) }

// quoteIdent writes a name for pg_ident.conf (hba.c, next_token).
func quoteIdent(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
