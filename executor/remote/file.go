package remote

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// Exit statuses of the scripts below, for what has no status of its own.
const (
	statusExists  = 73
	statusDamaged = 74
	statusDevice  = 75
)

// operand makes a path that no program takes for an option.
func operand(p string) (string, error) {
	if p == "" || strings.ContainsRune(p, 0) {
		return "", fmt.Errorf("%q is no path", p)
	}
	if !strings.HasPrefix(p, "/") {
		p = "./" + p
	}
	return p, nil
}

// script runs a /bin/sh script with args as $1, $2 and so on. The C locale makes the
// system's messages known.
func script(ctx context.Context, h Host, as, title, text string, stdin io.Reader, args ...string) (Result, error) {
	words := append([]string{"sh", "-c", "# " + title + "\nLC_ALL=C; export LC_ALL; umask 077\n" + text, "sh"}, args...)
	return h.Run(ctx, Command{Args: words, As: as, Stdin: stdin})
}

// onPaths is script for arguments that are paths.
func onPaths(ctx context.Context, h Host, as, title, text string, paths ...string) (Result, error) {
	args := make([]string, len(paths))
	for i, p := range paths {
		var err error
		if args[i], err = operand(p); err != nil {
			return Result{}, fmt.Errorf("%s: %w", h.Name(), err)
		}
	}
	return script(ctx, h, as, title, text, nil, args...)
}

// PathError is a file operation that the host's system refused. It unwraps to
// fs.ErrNotExist, fs.ErrExist or fs.ErrPermission where one of these is the reason.
type PathError struct {
	Host, Op, Path string
	Kind           error
	Err            error
}

func (e *PathError) Error() string {
	return fmt.Sprintf("%s: %s %s: %v", e.Host, e.Op, e.Path, e.Kind)
}

func (e *PathError) Unwrap() []error { return []error{e.Kind, e.Err} }

// pathError finds out why a script failed: from its status, or from the last line of
// its error output, which ends with strerror(3) in the C locale.
func pathError(h Host, op, p string, err error) error {
	var ce *CommandError
	if err == nil || !errors.As(err, &ce) {
		return err
	}
	text := strings.TrimSpace(ce.Stderr)
	var kind error
	switch {
	case ce.Status == statusExists:
		kind = fs.ErrExist
	case ce.Status == statusDamaged:
		kind = errors.New("the content did not arrive whole, so the file was left as it was")
	case ce.Status == statusDevice:
		kind = errors.New("old and new name lie on different file systems, so it cannot be renamed")
	case strings.HasSuffix(text, ": No such file or directory"), strings.HasSuffix(text, ": Directory nonexistent"):
		kind = fs.ErrNotExist
	case strings.HasSuffix(text, ": Permission denied"):
		kind = fs.ErrPermission
	default:
		return fmt.Errorf("%s %s: %w", op, p, err)
	}
	return &PathError{Host: h.Name(), Op: op, Path: p, Kind: kind, Err: err}
}

// ReadFile reads a file as the user as ("" is the login user). A file that is not
// there gives an error that is fs.ErrNotExist; one that cannot be looked at does not.
func ReadFile(ctx context.Context, h Host, file, as string) ([]byte, error) {
	res, err := onPaths(ctx, h, as, "read "+shownPath(file), `exec cat "$1"`, file)
	if err != nil {
		return nil, pathError(h, "read", file, err)
	}
	return res.Stdout, nil
}

// writeScript takes the checksum and the content from its input. $1 is the file, $2
// the temporary name, $3 the directory, $4 the mode, $5 nonempty to make directories.
// The file appears whole, with its mode, and durable, or not at all. The checksum goes
// through the input because a hash of a secret in a process list can be guessed at.
const writeScript = failScript + `[ -z "$5" ] || mkdir -p "$3" || exit
IFS= read -r sum || exit 74
set -C
: >"$t" || exit
set +C
cat >"$t" || fail
[ "$(sha256sum <"$t")" = "$sum  -" ] || fail 74
` + publishScript

// failScript leaves no temporary file behind, whatever ends the script. SIGPIPE is
// ignored because the shell itself reports a child that was killed, to an error output
// that may be closed by then.
const failScript = `t=$2
fail() { s=$?; rm -f "$t"; exit "${1:-$s}"; }
trap 'fail 1' HUP INT TERM
trap '' PIPE
`

const publishScript = `chmod "$4" "$t" || fail
sync "$t" || fail
mv -fT "$t" "$1" || fail
sync "$3"
`

// WriteFile writes a file atomically: under a temporary name in the same directory,
// made durable, then renamed over what is there. The content is checked at the other
// end before the rename. A symbolic link at path is replaced, not followed.
func WriteFile(ctx context.Context, h Host, file string, content []byte, o FileOptions) error {
	args, err := writeArgs(file, o)
	if err != nil {
		return fmt.Errorf("%s: write %s: %w", h.Name(), file, err)
	}
	sum := sha256.Sum256(content)
	stdin := io.MultiReader(strings.NewReader(hex.EncodeToString(sum[:])+"\n"), bytes.NewReader(content))
	_, err = script(ctx, h, o.As, "write "+shownPath(file), writeScript, stdin, args...)
	return pathError(h, "write", file, err)
}

// writeArgs are $1 to $5 of writeScript.
func writeArgs(file string, o FileOptions) ([]string, error) {
	p, err := operand(file)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(p, "/") {
		return nil, errors.New("the path ends with a slash, so it names a directory")
	}
	dir, base := path.Split(p)
	if base == "." || base == ".." {
		return nil, errors.New("the path names a directory")
	}
	if len(base) > 200 {
		base = base[:200] // names are limited to 255 bytes
	}
	mkdir := ""
	if o.MkDir {
		mkdir = "yes"
	}
	temp := fmt.Sprintf("%s.%s.%s.tmp", dir, base, rand.Text()[:12])
	return []string{p, temp, dir, fmt.Sprintf("%04o", o.Mode.Perm()), mkdir}, nil
}

// Rename renames a file or directory, durably, and never over something that is there
// (fs.ErrExist) nor to another file system.
func Rename(ctx context.Context, h Host, from, to, as string) error {
	const text = `if [ -e "$2" ] || [ -L "$2" ]; then exit 73; fi
a=$(stat -c %d "$3") && b=$(stat -c %d "$4") || exit 1
[ "$a" = "$b" ] || exit 75
mv -nT "$1" "$2"; s=$?
if [ -e "$1" ] || [ -L "$1" ]; then [ $s -ne 0 ] && exit $s; exit 73; fi
[ $s -eq 0 ] || exit $s
sync "$3" "$4"
`
	_, err := onPaths(ctx, h, as, "rename "+shownPath(from)+" "+shownPath(to), text,
		strings.TrimRight(from, "/"), strings.TrimRight(to, "/"), parent(from), parent(to))
	return pathError(h, "rename to "+shownPath(to), from, err)
}

// Remove deletes a file or symbolic link, durably; that it is not there is no error.
// A directory is refused.
func Remove(ctx context.Context, h Host, file, as string) error {
	const text = `rm -f "$1" || exit
[ ! -d "$2" ] || sync "$2"
`
	_, err := onPaths(ctx, h, as, "remove "+shownPath(file), text, file, parent(file))
	return pathError(h, "remove", file, err)
}

func parent(p string) string {
	dir := path.Dir(strings.TrimRight(p, "/"))
	if dir == "" {
		return "."
	}
	return dir
}

// shownPath is a path fit for the first line of a script and a message.
func shownPath(p string) string {
	q := fmt.Sprintf("%q", p)
	if q == `"`+p+`"` && !strings.Contains(p, " ") {
		return p
	}
	return q
}
