package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/aymanbagabas/go-udiff"
	"github.com/spf13/cobra"

	"pg_manage/schema"
)

type fmtOptions struct {
	check bool
	diff  bool
}

func (a *app) fmtCommand() *cobra.Command {
	var o fmtOptions
	cmd := &cobra.Command{
		Use:   "fmt [FILE|FOLDER|-]...",
		Short: "Put cluster files into the canonical layout",
		Long: `Rewrites cluster files in the canonical layout and names those that it changed.
Without an argument it does so for the *.hcl files of the folder; "-" reads
standard input and writes standard output.`,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{a.dir}
			}
			changed := 0
			for _, arg := range args {
				n, err := a.format(arg, o)
				if err != nil {
					return err
				}
				changed += n
			}
			if o.check && changed > 0 {
				return &exitStatus{code: exitError}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&o.check, "check", false, "change nothing; exit with 1 when a file is not in the canonical layout")
	cmd.Flags().BoolVar(&o.diff, "diff", false, "show what changes")
	return cmd
}

// format does one argument, and gives how many files were not in the canonical layout.
func (a *app) format(arg string, o fmtOptions) (int, error) {
	if arg == "-" {
		return a.formatStdin(o)
	}
	info, err := os.Stat(arg)
	if err != nil {
		return 0, fmt.Errorf("cannot format %s: %w", arg, err)
	}
	files := []string{arg}
	if info.IsDir() {
		files, err = filepath.Glob(filepath.Join(globQuote(arg), "*.hcl"))
		if err != nil {
			return 0, fmt.Errorf("cannot list the files of %s: %w", arg, err)
		}
	}
	changed := 0
	for _, file := range files {
		ok, err := a.formatFile(file, o)
		if err != nil {
			return changed, err
		}
		if !ok {
			changed++
		}
	}
	return changed, nil
}

// globQuote makes a path match itself alone.
func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func (a *app) formatStdin(o fmtOptions) (int, error) {
	src, err := io.ReadAll(a.stdin)
	if err != nil {
		return 0, fmt.Errorf("cannot read standard input: %w", err)
	}
	out, ds := schema.Format("<stdin>", src)
	if ds.HasErrors() {
		return 0, ds
	}
	same := bytes.Equal(src, out)
	switch {
	case o.diff:
		fmt.Fprint(a.stdout, udiff.Unified("<stdin>", "<stdin> formatted", string(src), string(out)))
	case !o.check:
		if _, err := a.stdout.Write(out); err != nil {
			return 0, fmt.Errorf("cannot write standard output: %w", err)
		}
	}
	if same {
		return 0, nil
	}
	return 1, nil
}

// formatFile says whether the file was in the canonical layout.
func (a *app) formatFile(file string, o fmtOptions) (bool, error) {
	src, err := os.ReadFile(file)
	if err != nil {
		return false, fmt.Errorf("cannot format %s: %w", file, err)
	}
	out, ds := schema.Format(file, src)
	if ds.HasErrors() {
		return false, ds
	}
	if bytes.Equal(src, out) {
		return true, nil
	}
	if !a.quiet {
		fmt.Fprintln(a.stdout, file)
	}
	if o.diff {
		fmt.Fprint(a.stdout, udiff.Unified("a/"+file, "b/"+file, string(src), string(out)))
	}
	if o.check {
		return false, nil
	}
	return false, rewrite(file, out)
}

// rewrite replaces a file's content whole or not at all. A link keeps pointing where it did.
func rewrite(file string, content []byte) error {
	path, err := filepath.EvalSymlinks(file)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	return writeFile(path, content, mode)
}

// writeFile writes a file under a temporary name beside it, makes it durable, and renames it.
func writeFile(path string, content []byte, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".pg_manage-*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("cannot write %s: %w", path, err)
		}
	}()
	if err = f.Chmod(mode); err != nil {
		return err
	}
	if _, err = f.Write(content); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
