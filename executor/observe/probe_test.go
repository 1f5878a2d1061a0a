package observe

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pg_manage/executor/remote"
	"pg_manage/executor/remote/remotetest"
	"pg_manage/planner"
	"pg_manage/schema"
)

// atHome is this machine with another home directory for the owner, and another shell.
type atHome struct {
	remote.Host
	home, shell string
}

func (h *atHome) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	if cmd.Args[0] == "sh" {
		text, err := io.ReadAll(cmd.Stdin)
		if err != nil {
			return remote.Result{}, err
		}
		changed := strings.Replace(string(text), `eval "home=~$owner"`, "home="+quoteWord(h.home), 1)
		if changed == string(text) {
			return remote.Result{}, fmt.Errorf("the script does not look for the home directory as it did")
		}
		cmd.Args[0], cmd.Stdin = h.shell, strings.NewReader(changed)
	}
	return h.Host.Run(ctx, cmd)
}

func shells(t *testing.T) []string {
	t.Helper()
	var all, seen []string
	for _, s := range []string{"sh", "dash", "bash", "busybox"} {
		p, err := exec.LookPath(s)
		if err != nil {
			continue
		}
		real, err := filepath.EvalSymlinks(p)
		if err != nil || slices.Contains(seen, real) {
			continue
		}
		seen = append(seen, real)
		if filepath.Base(real) == "busybox" {
			w := filepath.Join(place(t), "busybox-sh")
			write(t, w, "#!/bin/sh\nexec "+quoteWord(real)+" sh \"$@\"\n")
			chmod(t, w, 0o755)
			p = w
		}
		all = append(all, p)
	}
	return all
}

// node declares a node that has nothing.
func bare(t testing.TB, data string) (*schema.Cluster, *schema.Node) {
	t.Helper()
	return declare(t, &server{data: data, socket: "/tmp", port: remotetest.FreePort(t)}, "no de'1")
}

func TestDataDirectories(t *testing.T) {
	bin, major := binDir(t)
	for _, shell := range shells(t) {
		t.Run(filepath.Base(shell), func(t *testing.T) {
			for name, c := range map[string]struct {
				make func(t *testing.T, d string)
				want planner.DataFacts
			}{
				"absent":  {func(*testing.T, string) {}, planner.DataFacts{State: "absent"}},
				"empty":   {func(t *testing.T, d string) { mkdir(t, d) }, planner.DataFacts{State: "empty"}},
				"mounted": {func(t *testing.T, d string) { mkdir(t, d+"/lost+found") }, planner.DataFacts{State: "empty"}},
				"foreign": {func(t *testing.T, d string) {
					for _, f := range []string{"a b", "x\ny=1\n|z", ".hidden", "..odd"} {
						write(t, filepath.Join(d, f), "")
					}
				}, planner.DataFacts{State: "foreign", Sample: []string{"a b", "x\ny=1\n|z", ".hidden"}}},
				"a file": {func(t *testing.T, d string) { write(t, d, "") }, planner.DataFacts{State: "foreign", Sample: []string{"da ta"}}},
				"half a cluster": {
					func(t *testing.T, d string) { write(t, d+"/PG_VERSION", "15\n") },
					planner.DataFacts{State: "foreign", Sample: []string{"PG_VERSION"}},
				},
				"dangling link": {
					func(t *testing.T, d string) { link(t, "nowhere", d) },
					planner.DataFacts{State: "unknown", MountPoint: true, Error: "DATA is a symbolic link to something that does not exist"},
				},
				"link": {func(t *testing.T, d string) {
					mkdir(t, d+".real")
					link(t, d+".real", d)
				}, planner.DataFacts{State: "empty", MountPoint: true}},
				"left over": {
					func(t *testing.T, d string) { mkdir(t, d+".pg_manage-building") },
					planner.DataFacts{State: "absent", Building: true},
				},
				"left over inside": {
					func(t *testing.T, d string) { mkdir(t, d+"/.pg_manage-building") },
					planner.DataFacts{State: "empty", Building: true},
				},
				"half moved up": {func(t *testing.T, d string) {
					write(t, d+"/.pg_manage-building/moving", "base\npg_wal\n")
					write(t, d+"/base/1/2", "")
				}, planner.DataFacts{State: "empty", Building: true}},
				"half moved up, and something else": {func(t *testing.T, d string) {
					write(t, d+"/.pg_manage-building/moving", "base\npg_wal\n")
					write(t, d+"/base/1/2", "")
					write(t, d+"/bas", "")
				}, planner.DataFacts{State: "foreign", Building: true, Sample: []string{"bas"}}},
				"moved aside": {func(t *testing.T, d string) {
					write(t, d+".old-20260101T000000Z/PG_VERSION", "17\n")
					write(t, d+".old-school/thesis", "")
				}, planner.DataFacts{State: "absent", Aside: []string{"DATA.old-20260101T000000Z"}}},
				"unreadable": {func(t *testing.T, d string) {
					mkdir(t, d)
					chmod(t, d, 0)
				}, planner.DataFacts{State: "unknown", Error: "DATA cannot be read by " + me(t)}},
				"damaged": {func(t *testing.T, d string) {
					write(t, d+"/PG_VERSION", fmt.Sprintln(major))
					write(t, d+"/global/pg_control", "short")
					write(t, d+"/standby.signal", "")
				}, planner.DataFacts{State: "cluster", MajorVersion: major, StandbySignal: true, Error: "pg_controldata: error: could not read file \"DATA/global/pg_control\": read 5 of 296"}},
				"restored": {func(t *testing.T, d string) {
					write(t, d+"/PG_VERSION", "9.6\n")
					write(t, d+"/global/pg_control", "x")
					write(t, d+"/recovery.signal", "")
					write(t, d+"/pg_manage.restored", "0123456789abcdef\n")
				}, planner.DataFacts{State: "cluster", Error: "no pg_controldata of PostgreSQL 9.6 was found", RecoverySignal: true, Restored: "0123456789abcdef"}},
				"restore over it cut off": {func(t *testing.T, d string) {
					write(t, d+"/PG_VERSION", "17\n")
					write(t, d+"/global/pg_control.pg_manage-old", "x")
					write(t, d+"/pg_manage.restoring", "{\n  \"label\": \"l\",\n  \"system_identifier\": \"7300000000000000001\",\n  \"delta\": true\n}\n")
				}, planner.DataFacts{State: "unfinished", SystemIdentifier: "7300000000000000001"}},
				"restore over it ended": {func(t *testing.T, d string) { // but for its mark
					write(t, d+"/PG_VERSION", "9.6\n")
					write(t, d+"/global/pg_control", "x")
					write(t, d+"/pg_manage.restoring", "{}\n")
				}, planner.DataFacts{State: "cluster", Error: "no pg_controldata of PostgreSQL 9.6 was found"}},
				"of another version": {func(t *testing.T, d string) {
					write(t, d+"/PG_VERSION", "9.6\n")
					write(t, d+"/global/pg_control", "x")
				}, planner.DataFacts{State: "cluster", Error: "no pg_controldata of PostgreSQL 9.6 was found"}},
			} {
				t.Run(name, func(t *testing.T) {
					dir := place(t)
					data := filepath.Join(dir, "da ta")
					c.make(t, data)
					before := snapshot(t, dir)
					cl, n := bare(t, data)
					f := look(t, &atHome{local(t), dir, shell}, cl, n)
					c.want.Error = strings.ReplaceAll(c.want.Error, "DATA", data)
					for i := range f.Data.Aside {
						f.Data.Aside[i] = strings.ReplaceAll(f.Data.Aside[i], data, "DATA")
					}
					if name == "damaged" { // the rest of the message is the version's own
						if !strings.HasPrefix(f.Data.Error, "pg_controldata:") {
							t.Errorf("error %q", f.Data.Error)
						}
						f.Data.Error = c.want.Error
					}
					if d := cmp.Diff(c.want, f.Data); d != "" {
						t.Error(d)
					}
					if f.Server.Running || f.Paths.BinDir != bin || f.Paths.ConfigDir != data {
						t.Errorf("%+v %+v", f.Server, f.Paths)
					}
					if d := cmp.Diff(before, snapshot(t, dir)); d != "" {
						t.Errorf("the probe changed something: %s", d)
					}
				})
			}
		})
	}
}

func link(t *testing.T, to, path string) {
	t.Helper()
	if err := os.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
	own(t, path)
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func chmod(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// snapshot is all that is below a directory.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := filepath.Walk(dir, func(path string, i fs.FileInfo, err error) error {
		if err == nil {
			m[path] = fmt.Sprint(i.Mode(), i.Size(), i.ModTime())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestHiddenBelow(t *testing.T) {
	dir := place(t)
	mkdir(t, dir+"/locked/data")
	chmod(t, dir+"/locked", 0)
	c, n := bare(t, dir+"/locked/data")
	f := Node(t.Context(), &atHome{local(t), dir, "/bin/sh"}, c, n, Options{})
	if f.Data.State == planner.DataAbsent || !strings.Contains(f.Unreachable+f.Data.Error, dir+"/locked") {
		t.Errorf("%q %+v", f.Unreachable, f.Data)
	}
}

// What the archiver does is asked of our program on the node, where there is one to ask.
func TestArchiverIsAsked(t *testing.T) {
	status := `{"version":2,"targets":[{"name":"offsite","queued":3,"dropped":[]}],` + "\n" + `"archiver":{"running":true,"pid":7},"backlog":{}}`
	for _, shell := range shells(t) {
		for name, test := range map[string]struct {
			change   func(t *testing.T, tool, state string, n *schema.Node)
			required bool // all archives are
			opts     Options
			known    bool
		}{
			"running":              {known: true},
			"in a status":          {required: true, opts: Options{Archiver: true}, known: true},
			"nothing but required": {required: true},
			"no program":           {change: func(t *testing.T, tool, _ string, _ *schema.Node) { remove(t, tool+"/pg_manage") }},
			"not executable":       {change: func(t *testing.T, tool, _ string, _ *schema.Node) { chmod(t, tool+"/pg_manage", 0o644) }},
			"no configuration":     {change: func(t *testing.T, _, state string, _ *schema.Node) { remove(t, state+"/hook.json") }},
			"an older program":     {change: func(t *testing.T, tool, _ string, _ *schema.Node) { write(t, tool+"/pg_manage", "#!/bin/sh\nexit 2\n") }},
			"nonsense": {change: func(t *testing.T, tool, _ string, _ *schema.Node) {
				write(t, tool+"/pg_manage", "#!/bin/sh\necho end=1\n")
			}},
			"a standby": {change: func(t *testing.T, _, _ string, n *schema.Node) { write(t, n.DataDir+"/standby.signal", "") }},
			"a standby that was a primary": {change: func(t *testing.T, _, state string, n *schema.Node) {
				write(t, n.DataDir+"/standby.signal", "")
				mkdir(t, state+"/queue")
			}, known: true},
		} {
			t.Run(filepath.Base(shell)+"/"+name, func(t *testing.T) {
				dir := place(t)
				c, n := bare(t, dir+"/data")
				for _, name := range []string{"nas", "offsite"} {
					c.Archives = append(c.Archives, &schema.Archive{Required: name == "nas" || test.required, Target: &schema.Target{Name: name, URL: schema.URL{Scheme: "file", Path: "/x"}, ArchiveDir: "wal"}})
				}
				tool, state := dir+"/.pg_manage/bin", dir+"/.pg_manage/main/"+n.Name
				write(t, state+"/hook.json", "{}\n")
				write(t, tool+"/want", "hook --config "+state+"/hook.json status --local\n")
				write(t, tool+"/pg_manage", "#!/bin/sh\n[ \"$*\" = \"$(cat '"+tool+"/want')\" ] || exit 9\ncat <<'EOF'\n"+status+"\nEOF\n")
				chmod(t, tool+"/pg_manage", 0o755)
				if test.change != nil {
					test.change(t, tool, state, n)
				}
				test.opts.AskArchive = AskNever
				f := Node(t.Context(), &atHome{local(t), dir, shell}, c, n, test.opts)
				if f.Unreachable != "" {
					t.Fatal(f.Unreachable)
				}
				if f.Archiving.Known != test.known {
					t.Errorf("known: %v, %+v", f.Archiving.Known, f.Archiving)
				}
				if q := f.Archiving.Queue("offsite"); test.known && (q == nil || q.Segments != 3 || f.Archiving.Archiver.PID != 7) {
					t.Errorf("%+v", f.Archiving)
				}
			})
		}
	}
}

// A configuration that was written and given its name later counts from when it got it.
func TestHookConfigIsNewWhenItGetsItsName(t *testing.T) {
	dir := place(t)
	c, n := bare(t, dir+"/data")
	state := dir + "/.pg_manage/main/" + n.Name
	write(t, state+"/hook.json.new", "{}\n")
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(state+"/hook.json.new", long, long); err != nil {
		t.Fatal(err)
	}
	before := time.Now().Add(-time.Minute).Unix() // the clock of files lags a little
	if err := os.Rename(state+"/hook.json.new", state+"/hook.json"); err != nil {
		t.Fatal(err)
	}
	p := &probe{h: &atHome{local(t), dir, "sh"}, c: c, n: n, owner: owner(n)}
	s, err := p.runScript(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := strconv.ParseInt(s.get("hook_changed"), 10, 64); err != nil || got < before {
		t.Errorf("changed at %q, renamed at %d", s.get("hook_changed"), before)
	}
}

func TestFiles(t *testing.T) {
	for _, shell := range shells(t) {
		t.Run(filepath.Base(shell), func(t *testing.T) {
			dir := place(t)
			c, n := bare(t, dir+"/data")
			tool, state := dir+"/.pg_manage/bin", dir+"/.pg_manage/main/"+n.Name
			nasty := "a = 'b'\n|c\n@d\n\nend=1\n\tx\\n%s \xff\xfe\n"
			write(t, n.DataDir+"/pg_manage.conf", nasty)
			write(t, n.DataDir+"/postgresql.conf", "port = 1\ninclude_if_exists = 'pg_manage.conf'  # pg_manage\n  # a comment\n\n")
			write(t, n.DataDir+"/postgresql.auto.conf", "# no\nwork_mem = '1MB'\nWork_Mem = '2MB'\nnonsense line here\nprimary_conninfo = 'host=a password=''se cret'' user=b'\n")
			block := "# BEGIN pg_manage\nhost all all samehost trust\n# END pg_manage\n"
			write(t, n.DataDir+"/pg_hba.conf", "# mine\n"+block+"local all all trust\n")
			write(t, state+"/hook.json", "{}\n")
			write(t, state+"/passfile", Passfile(c, n))
			write(t, tool+"/pg_manage", "binary")
			write(t, tool+"/pg_manage-hook", "hook")
			look1 := func() *planner.NodeFacts { return look(t, &atHome{local(t), dir, shell}, c, n) }

			f := look1()
			want := planner.FileFacts{Settings: nasty, Included: true, HBA: block, HookConfig: "{}\n", PassfileMatches: true, ConfigExists: true}
			if d := cmp.Diff(want, f.Files); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(map[string]string{"work_mem": "2MB", "primary_conninfo": "host=a password=" + schema.Redacted + " user=b"}, f.Server.AutoConf); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(map[string]string{"pg_manage": sum("binary"), "pg_manage-hook": sum("hook")}, f.Host.Installed); d != "" {
				t.Error(d)
			}
			if f.Paths.Tool != tool || f.Paths.State != state || f.Data.State != planner.DataForeign {
				t.Errorf("%+v %+v", f.Paths, f.Data)
			}

			// What the installer noted is believed as long as the file is the one it noted.
			i, err := os.Stat(tool + "/pg_manage")
			if err != nil {
				t.Fatal(err)
			}
			write(t, tool+"/pg_manage.sha256", fmt.Sprintf("noted %d %d\n", i.Size(), i.ModTime().Unix()))
			if got := look1().Host.Installed["pg_manage"]; got != "noted" {
				t.Errorf("noted: %q", got)
			}
			if err := os.Chtimes(tool+"/pg_manage", time.Time{}, i.ModTime().Add(2*time.Second)); err != nil {
				t.Fatal(err)
			}
			if got := look1().Host.Installed["pg_manage"]; got != sum("binary") {
				t.Errorf("changed since: %q", got)
			}

			chmod(t, state+"/passfile", 0o640)
			if look1().Files.PassfileMatches {
				t.Error("a passfile that others may read matches")
			}
			chmod(t, state+"/passfile", 0o600)
			write(t, state+"/passfile", "*:*:replication:x:y\n")
			if look1().Files.PassfileMatches {
				t.Error("another passfile matches")
			}
			write(t, n.DataDir+"/postgresql.conf", "include_if_exists = 'pg_manage.conf'\nwork_mem = 1MB\n")
			if look1().Files.Included {
				t.Error("something stands behind the include")
			}
			chmod(t, state+"/hook.json", 0)
			if f := Node(t.Context(), &atHome{local(t), dir, shell}, c, n, Options{}); !strings.Contains(f.Unreachable, "hook.json") {
				t.Errorf("an unreadable file: %q", f.Unreachable)
			}
		})
	}
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// A postmaster.pid left by a crash names a process that may by now be another.
func TestStalePidFile(t *testing.T) {
	_, major := binDir(t)
	for _, shell := range shells(t) {
		for name, c := range map[string]struct {
			dir     func(data string) string
			running bool
		}{
			"recycled":   {func(string) string { return "/" }, false},
			"postmaster": {func(d string) string { return d }, true},
		} {
			t.Run(filepath.Base(shell)+"/"+name, func(t *testing.T) {
				dir := place(t)
				cl, n := bare(t, dir+"/data")
				write(t, n.DataDir+"/PG_VERSION", fmt.Sprintln(major))
				write(t, n.DataDir+"/global/pg_control", "")
				sleeper := exec.Command("sleep", "1000")
				sleeper.Dir = c.dir(n.DataDir)
				if os.Getuid() == 0 {
					sleeper.SysProcAttr = asUser(t)
				}
				if err := sleeper.Start(); err != nil {
					t.Fatal(err)
				}
				defer func() { _, _ = sleeper.Process.Kill(), sleeper.Wait() }()
				write(t, n.DataDir+"/postmaster.pid", fmt.Sprintf("%d\n%s\n1\n%d\n%s\n\n\nstarting\n", sleeper.Process.Pid, n.DataDir, n.Port, dir))
				f := look(t, &atHome{local(t), dir, shell}, cl, n)
				if f.Server.Running != c.running || f.Server.Accepting {
					t.Errorf("%+v", f.Server)
				}
				if c.running && (f.Server.PID != sleeper.Process.Pid || !strings.Contains(f.Server.Error, "starting")) {
					t.Errorf("%+v", f.Server)
				}
			})
		}
	}
}

func TestPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	dir := place(t)
	c, n := bare(t, dir+"/data")
	n.Port = l.Addr().(*net.TCPAddr).Port
	if f := look(t, &atHome{local(t), dir, "/bin/sh"}, c, n); f.Server.PortTaken == "" || f.Server.Running {
		t.Errorf("%+v", f.Server)
	}
}
