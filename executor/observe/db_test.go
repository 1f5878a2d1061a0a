package observe

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pg_manage/executor/instance"
	"pg_manage/executor/remote"
)

// Both ways to a real server give the same answers and the same errors.
func TestSessions(t *testing.T) {
	dir := place(t)
	p := newPrimary(t, dir)
	for name, h := range map[string]remote.Host{"psql": local(t), "socket": &asOwner{Host: local(t), owner: me(t)}} {
		t.Run(name, func(t *testing.T) {
			target := instance.Target{SocketDir: dir, Port: p.port, Owner: me(t), BinDir: p.bin, LoginIsOwner: name == "socket"}
			db, err := instance.Open(t.Context(), h, target)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			for sql, want := range map[string]string{
				"SET work_mem = 64; SELECT 1; SELECT jsonb_build_object('a', 'x:y\\z''ü')::text": `{"a": "x:y\\z'ü"}`,
				"SELECT NULL":          "",
				"SELECT 1 WHERE false": "",
			} {
				got, err := db.JSON(t.Context(), sql)
				if err != nil || string(got) != want {
					t.Errorf("%s: %q, %v", sql, got, err)
				}
			}
			for sql, code := range map[string]string{
				"CREATE ROLE x PASSWORD 'top-secret' NONSENSE": "42601",
				"CREATE ROLE pg_x PASSWORD 'top-secret'":       "42939",
				"SELECT 1; SELECT 1/(length('top-secret')-10)": "22012",
			} {
				err := db.Exec(t.Context(), sql)
				var e *instance.Error
				if !errors.As(err, &e) || e.Code != code {
					t.Errorf("%s: %#v", sql, err)
				}
				if strings.Contains(fmt.Sprintf("%v %+v", err, err), "top-secret") {
					t.Errorf("the error tells the secret: %v", err)
				}
			}
		})
	}
}

func BenchmarkNode(b *testing.B) {
	dir := place(b)
	p := newPrimary(b, dir)
	c, n := declare(b, p, "one")
	for name, h := range map[string]remote.Host{"psql": local(b), "socket": &asOwner{Host: local(b), owner: me(b)}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if f := Node(b.Context(), h, c, n, Options{}); !f.Server.Accepting {
					b.Fatal(f.Unreachable, f.Server.Error)
				}
			}
		})
	}
	b.Run("a shell that does nothing", func(b *testing.B) {
		h := local(b)
		for b.Loop() {
			if _, err := h.Run(b.Context(), remote.Command{Args: []string{"sh", "-c", ":"}, As: me(b)}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
