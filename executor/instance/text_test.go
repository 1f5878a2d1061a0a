package instance

import (
	"strings"
	"testing"
)

func TestWithInclude(t *testing.T) {
	for _, text := range []string{"", "a = 1", "a = 1\n", "include 'pg_manage.conf'\na = 1\n", includeLine + "\na = 1\n\n"} {
		got := withInclude(text)
		if strings.Count(got, "pg_manage.conf") != 1 || !strings.HasSuffix(got, includeLine+"\n") {
			t.Errorf("withInclude(%q) = %q", text, got)
		}
		if strings.Contains(text, "a = 1") && !strings.HasPrefix(got, "a = 1\n") {
			t.Errorf("withInclude(%q) lost a line: %q", text, got)
		}
		if again := withInclude(got); again != got {
			t.Errorf("not the same the second time: %q", again)
		}
	}
}

func TestSetConf(t *testing.T) {
	for _, c := range [][2]string{
		{"", "data_directory = '/x'\n"},
		{"a = 1", "a = 1\ndata_directory = '/x'\n"},
		{"#data_directory = 'ConfigDir'\t\t# use data\na = 1\n", "data_directory = '/x'\na = 1\n"},
		{"data_directory = '/old'\t# note\n#data_directory = 'z'\n", "data_directory = '/x'\n#data_directory = 'z'\n"},
	} {
		if got := setConf(c[0], "data_directory", "'/x'"); got != c[1] {
			t.Errorf("setConf(%q) = %q, want %q", c[0], got, c[1])
		}
	}
}

func TestWithBlock(t *testing.T) {
	const block = "# BEGIN pg_manage\nhost a\n# END pg_manage\n"
	rest := "# comment\nlocal all all peer\n"
	once, err := withBlock(rest, block)
	if err != nil || once != block+rest {
		t.Fatalf("%q, %v", once, err)
	}
	if again, err := withBlock(once, block); err != nil || again != once {
		t.Errorf("again: %q, %v", again, err)
	}
	if moved, err := withBlock(rest+block, block); err != nil || moved != once {
		t.Errorf("from the end: %q, %v", moved, err)
	}
	if gone, err := withBlock(once, ""); err != nil || gone != rest {
		t.Errorf("removed: %q, %v", gone, err)
	}
	for _, broken := range []string{"# BEGIN pg_manage\nhost\n", "# END pg_manage\n", "# BEGIN pg_manage\n# BEGIN pg_manage\n# END pg_manage\n"} {
		if got, err := withBlock(broken, block); err == nil {
			t.Errorf("withBlock(%q) = %q, want an error", broken, got)
		}
	}
}

func TestWithoutSettings(t *testing.T) {
	const text = "# Do not edit\nprimary_conninfo = 'host=a password=b'\nwork_mem = '4MB'\nPrimary_Slot_Name = 'x'\n"
	if got, want := withoutSettings(text, []string{"primary_conninfo", "primary_slot_name"}), "# Do not edit\nwork_mem = '4MB'\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestProgress(t *testing.T) {
	var got [][2]int64
	p := &progress{report: func(done, total int64) { got = append(got, [2]int64{done, total}) }}
	for _, part := range []string{"pg_basebackup: checkpoint completed\n  100/2", "00 kB (50%), 0/1 tablespace (x)\r", "200/200 kB (100%), 1/1 tablespace\n"} {
		if _, err := p.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 2 || got[0] != [2]int64{100 << 10, 200 << 10} || got[1][0] != 200<<10 {
		t.Errorf("got %v", got)
	}
	if s := withoutProgress("  100/200 kB (50%), 0/1 tablespace\rpg_basebackup: error: no space\n"); s != "pg_basebackup: error: no space" {
		t.Errorf("got %q", s)
	}
}

func TestRedact(t *testing.T) {
	for _, s := range []string{
		`ALTER ROLE r PASSWORD 'hunter2'`, `FATAL: host=a password=hunter2 user=b`, `PASSWORD 'SCRAM-SHA-256$4096:hunter2$a:b'`,
		`password = 'hunter2'`, `E SCRAM-SHA-256$4096:hunter2$a:b`, `ALTER ROLE r WITH PASSWORD E'hun''hunter2'`,
	} {
		if got := Redact(s); strings.Contains(got, "hunter2") {
			t.Errorf("Redact(%q) = %q", s, got)
		}
	}
	const plain = `FATAL:  password authentication failed for user "bob"`
	if got := Redact(plain); got != plain {
		t.Errorf("Redact(%q) = %q", plain, got)
	}
}
