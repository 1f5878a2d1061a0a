package instance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"pg_manage/executor/remote"
	"pg_manage/planner"
	"pg_manage/schema/postgres"
)

// includeLine makes postgresql.conf read our file after everything else, so that it wins.
const includeLine = "include_if_exists = 'pg_manage.conf'  # managed by pg_manage; keep this line last"

var includesOurs = regexp.MustCompile(`(?im)^[ \t]*include(_if_exists)?[ \t]*=?[ \t]*'?pg_manage\.conf'?[ \t]*(#.*)?\r?$\n?`)

// withInclude puts the line that includes our file at the end of postgresql.conf.
func withInclude(text string) string {
	rest := includesOurs.ReplaceAllString(text, "")
	if rest != "" && !strings.HasSuffix(rest, "\n") {
		rest += "\n"
	}
	return rest + includeLine + "\n"
}

// setConf sets one parameter of a configuration text: in the place of its last
// setting, else of its commented-out default, else at the end.
func setConf(text, name, quoted string) string {
	line := name + " = " + quoted
	for _, pattern := range []string{`(?im)^[ \t]*%s[ \t=].*$`, `(?im)^#[ \t]*%s[ \t]*=.*$`} {
		all := regexp.MustCompile(fmt.Sprintf(pattern, regexp.QuoteMeta(name))).FindAllStringIndex(text, -1)
		if len(all) > 0 {
			at := all[len(all)-1]
			return text[:at[0]] + line + text[at[1]:]
		}
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text + line + "\n"
}

// replace writes a file of the instance anew, keeping the mode it has.
func (i *Instance) replace(ctx context.Context, file, text string) error {
	res, err := i.run(ctx, "stat", "-L", "-c", "%a", "--", file)
	if err != nil {
		return err
	}
	var mode fs.FileMode
	if _, err := fmt.Sscanf(string(res.Stdout), "%o", &mode); err != nil {
		return fmt.Errorf("%s: mode of %s: %w", i.Host.Name(), file, err)
	}
	// A link stays a link: what it points to is replaced.
	res, err = i.run(ctx, "readlink", "-f", "--", file)
	if err != nil {
		return err
	}
	if real := strings.TrimSuffix(string(res.Stdout), "\n"); real != "" {
		file = real
	}
	return remote.WriteFile(ctx, i.Host, file, []byte(text), remote.FileOptions{Mode: mode.Perm(), As: i.Owner})
}

// read gives the text of a file; present says whether it is there.
func (i *Instance) read(ctx context.Context, file string) (text string, present bool, err error) {
	b, err := remote.ReadFile(ctx, i.Host, file, i.Owner)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	return string(b), err == nil, err
}

// restore puts a file back as it was.
func (i *Instance) restore(ctx context.Context, file, text string, present bool) error {
	if !present {
		return remote.Remove(ctx, i.Host, file, i.Owner)
	}
	return i.replace(ctx, file, text)
}

// WriteSettings writes pg_manage.conf, makes postgresql.conf include it as its last
// line, and takes overriding settings out of postgresql.auto.conf. When PostgreSQL
// finds a mistake, the files are put back and the error has PostgreSQL's message.
// It says whether anything had to be changed.
func (i *Instance) WriteSettings(ctx context.Context, d planner.SettingsDetail, running bool) (changed bool, err error) {
	ours, main := path.Join(i.ConfigDir, planner.SettingsFile), path.Join(i.ConfigDir, "postgresql.conf")
	if !running {
		if err := i.refuseForeignConfig(ctx); err != nil {
			return false, err
		}
	}
	oldOurs, had, err := i.read(ctx, ours)
	if err != nil {
		return false, err
	}
	oldMain, present, err := i.read(ctx, main)
	if err != nil {
		return false, err
	}
	if !present {
		return false, fmt.Errorf("%s: %s does not exist: config_dir must name the directory where postgresql.conf lies", i.Host.Name(), main)
	}
	newMain := oldMain
	if !strings.HasSuffix(strings.TrimRight(oldMain, " \t\r\n"), includeLine) || len(includesOurs.FindAllString(oldMain, 2)) != 1 {
		newMain = withInclude(oldMain)
	}
	undo := func(cause error) error {
		ctx := context.WithoutCancel(ctx)
		err1 := i.restore(ctx, ours, oldOurs, had)
		var err2 error
		if newMain != oldMain {
			err2 = i.replace(ctx, main, oldMain)
		}
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("%w; putting the old files back failed too: %w", cause, err)
		}
		return fmt.Errorf("%w (the old files were put back)", cause)
	}
	if !had || oldOurs != d.Content {
		changed = true
		if err := remote.WriteFile(ctx, i.Host, ours, []byte(d.Content), remote.FileOptions{Mode: 0o600, As: i.Owner}); err != nil {
			return false, err
		}
	}
	if newMain != oldMain {
		changed = true
		if err := i.replace(ctx, main, newMain); err != nil {
			return false, undo(err)
		}
	}
	if err := i.checkSettings(ctx, running); err != nil {
		return false, undo(err)
	}
	if len(d.ResetAuto) == 0 {
		return changed, nil
	}
	if running {
		return true, i.resetAuto(ctx, d.ResetAuto)
	}
	return true, i.editAuto(ctx, i.DataDir, d.ResetAuto)
}

// checkSettings lets PostgreSQL read the files: with `postgres -C`, and where the
// server runs, through pg_file_settings.
func (i *Instance) checkSettings(ctx context.Context, running bool) error {
	// -C starts nothing and writes nothing, beside a running server too; it reads the
	// files and checks every value.
	args := []string{i.program("postgres"), "-D", i.DataDir}
	if path.Clean(i.ConfigDir) != path.Clean(i.DataDir) {
		args = append(args, "-c", "config_file="+path.Join(i.ConfigDir, "postgresql.conf"))
	}
	_, err := i.run(ctx, append(args, "-C", "data_directory")...)
	var failed *remote.CommandError
	if errors.As(err, &failed) {
		return fmt.Errorf("%s: PostgreSQL refuses the settings: %s", i.Host.Name(), serverMessages(failed.Stderr))
	}
	if err != nil || !running {
		return err
	}
	db, err := i.DB(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	// A changed setting that waits for a restart stands here as an error too, and one that
	// was taken out and waits stands here without a file; both are none.
	out, err := db.JSON(ctx, `SELECT pg_catalog.json_agg(pg_catalog.json_build_object('file', f.sourcefile, 'line', f.sourceline, 'name', f.name, 'error', f.error) ORDER BY f.seqno)
FROM pg_catalog.pg_file_settings f LEFT JOIN pg_catalog.pg_settings s ON pg_catalog.lower(s.name) = pg_catalog.lower(f.name)
WHERE f.error IS NOT NULL AND f.sourcefile IS NOT NULL AND s.context IS DISTINCT FROM 'postmaster'`)
	if err != nil || len(out) == 0 {
		return err
	}
	var wrong []struct {
		File, Name, Error string
		Line              int
	}
	if err := json.Unmarshal(out, &wrong); err != nil {
		return fmt.Errorf("%s: pg_file_settings: %w", i.Host.Name(), err)
	}
	var lines []string
	for _, w := range wrong {
		lines = append(lines, fmt.Sprintf("%s:%d: %s: %s", w.File, w.Line, w.Name, w.Error))
	}
	return fmt.Errorf("%s: PostgreSQL refuses the settings: %s", i.Host.Name(), Redact(strings.Join(lines, "; ")))
}

var logPrefix = regexp.MustCompile(`(?m)^\S+ \S+ \S+ \[\d+\] .*?(LOG|FATAL|ERROR|PANIC|HINT|DETAIL):  `)

// serverMessages takes from what a server printed to its log the messages alone.
func serverMessages(s string) string {
	s = logPrefix.ReplaceAllString(strings.TrimSpace(s), "")
	return Redact(strings.ReplaceAll(s, "\n", "; "))
}

func (i *Instance) resetAuto(ctx context.Context, names []string) error {
	db, err := i.DB(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, name := range names {
		var parts []string
		for _, p := range strings.Split(name, ".") {
			q, err := postgres.QuoteIdentifier(p)
			if err != nil {
				return err
			}
			parts = append(parts, q)
		}
		if err := db.Exec(ctx, "ALTER SYSTEM RESET "+strings.Join(parts, ".")); err != nil {
			return fmt.Errorf("take %s out of postgresql.auto.conf: %w", name, err)
		}
	}
	return nil
}

// editAuto takes settings out of postgresql.auto.conf in dir while no server runs on it.
func (i *Instance) editAuto(ctx context.Context, dir string, names []string) error {
	file := path.Join(dir, "postgresql.auto.conf")
	text, present, err := i.read(ctx, file)
	if err != nil || !present {
		return err
	}
	if changed := withoutSettings(text, names); changed != text {
		return i.replace(ctx, file, changed)
	}
	return nil
}

// withoutSettings drops the lines that set one of the names.
func withoutSettings(text string, names []string) string {
	drop := map[string]bool{}
	for _, n := range names {
		drop[strings.ToLower(n)] = true
	}
	var kept []string
	for _, line := range strings.SplitAfter(text, "\n") {
		entries, err := postgres.ParseConf(line)
		if err == nil && len(entries) == 1 && drop[strings.ToLower(entries[0].Name)] {
			continue
		}
		kept = append(kept, line)
	}
	return strings.Join(kept, "")
}
