package pack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pg_manage/executor/basebackup/manifest"
	"pg_manage/executor/repo/catalog"
)

type catalogObject = catalog.Object

// asUser names the directory that the test binary is to pack, when root runs it as another user.
const asUser = "PACK_AS_USER"

// nowhere is a store that keeps nothing.
type nowhere struct{ *store }

func (nowhere) Create(_ context.Context, _, name string, r io.Reader) (catalog.Object, error) {
	n, err := io.Copy(io.Discard, r)
	return catalog.Object{Name: name, Size: n}, err
}

func packAsUser(dir string) int {
	p, err := New(context.Background(), Options{Store: nowhere{&store{compression: "zstd"}}, DataDir: dir, Cold: true, Manifest: manifest.Header{Major: 15}})
	if err == nil {
		if err = p.Files(context.Background()); err == nil {
			_, err = p.Finish(context.Background(), nil, nil)
		}
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("packed")
	return 0
}

// asOther packs a directory in a process that is not root's.
func asOther(t *testing.T, dir string) string {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	public, err := os.MkdirTemp("", "pgpack")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(public) //nolint:errcheck // a temporary directory
	if err := os.Chmod(public, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(public+"/test", self, 0o755); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command(public + "/test")
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = append(os.Environ(), asUser+"="+dir), "/", &out, &out
	if os.Getuid() == 0 {
		const nobody = 65534
		for up := filepath.Dir(dir); strings.HasPrefix(up, os.TempDir()+"/"); up = filepath.Dir(up) {
			if err := os.Chmod(up, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := filepath.WalkDir(dir, func(name string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(name, nobody, nobody)
		}); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	if err := cmd.Run(); err != nil && out.Len() == 0 {
		t.Fatal(err)
	}
	return out.String()
}
