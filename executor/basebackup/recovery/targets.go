package recovery

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pg_manage/schema/postgres"
)

// others refuses recovery targets in the other configuration files that the server reads, since
// PostgreSQL does not start with two.
func others(dataDir, configDir string, lines []setting) error {
	own := ""
	for _, l := range lines {
		if isTarget(l.name) {
			own = l.name
		}
	}
	if configDir == "" {
		configDir = dataDir
	}
	t := targets{}
	// The second one is ours, and may not be included yet.
	for _, name := range []string{"postgresql.conf", "pg_manage.conf"} {
		if err := t.read(filepath.Join(configDir, name), 0); err != nil {
			return err
		}
	}
	for name, found := range t {
		if name != own && found.value != "" {
			return fmt.Errorf("%s sets %s: remove it there, since PostgreSQL would recover to that, or refuse two targets", found.file, name)
		}
	}
	return nil
}

// targets are the recovery targets that configuration files set, by name; of two that have the
// same name the last one counts.
type targets map[string]struct{ file, value string }

// maxIncludes is how deep files include one another at most (guc-file.l, CONF_FILE_MAX_DEPTH).
const maxIncludes = 10

// read goes through a file and what it includes. What is not there, or cannot be understood,
// sets nothing: PostgreSQL says more of it.
func (t targets) read(file string, depth int) error {
	if depth > maxIncludes {
		return nil
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	entries, err := postgres.ParseConf(string(text))
	if err != nil {
		return nil
	}
	for _, e := range entries {
		name := strings.ToLower(e.Name)
		if isTarget(name) {
			t[name] = struct{ file, value string }{file, e.Value}
		}
		if !e.IncludeDirective() {
			continue
		}
		path := e.Value
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(file), path)
		}
		in := []string{path}
		if name == "include_dir" {
			if in, err = confFiles(path); err != nil {
				return err
			}
		}
		for _, path := range in {
			if err := t.read(path, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// confFiles are the files of a directory that include_dir reads, in its order.
func confFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".conf") && !strings.HasPrefix(name, ".") && !e.IsDir() {
			out = append(out, filepath.Join(dir, name))
		}
	}
	return out, nil
}

func isTarget(name string) bool {
	return slices.Contains([]string{"recovery_target", "recovery_target_lsn", "recovery_target_name", "recovery_target_time", "recovery_target_xid"}, name)
}
