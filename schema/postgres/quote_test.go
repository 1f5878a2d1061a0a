package postgres

import (
	"errors"
	"strings"
	"testing"
)

func TestConf(t *testing.T) {
	text := "# comment\n" +
		"shared_buffers = 128MB\t# why\n" +
		"Listen_Addresses='*'\r\n" +
		"  archive_command 'cp ''%p'' \\\\x \\047 \\n' \n" +
		"auto_explain.log_min_duration=-1\n" +
		"include_dir 'conf.d'\n" +
		"ssl_ciphers = HIGH:MEDIUM\nseed = 1.5e+3\n" +
		"port = 5433"
	got, err := ParseConf(text)
	if err != nil {
		t.Fatal(err)
	}
	want := []ConfEntry{
		{"shared_buffers", "128MB", 2},
		{"Listen_Addresses", "*", 3},
		{"archive_command", "cp '%p' \\x ' \n", 4},
		{"auto_explain.log_min_duration", "-1", 5},
		{"include_dir", "conf.d", 6},
		{"ssl_ciphers", "HIGH:MEDIUM", 7},
		{"seed", "1.5e+3", 8},
		{"port", "5433", 9},
	}
	if len(got) != len(want) {
		t.Fatalf("got %v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %+v, want %+v", got[i], want[i])
		}
	}
	if !got[4].IncludeDirective() || got[0].IncludeDirective() {
		t.Error("include directives are not told apart")
	}
	for line, text := range map[int]string{
		1: "port = ", 2: "\nport = 'x", 3: "\n\n= 5", 4: "\n\n\nport = 1 2", 5: "\n\n\n\n'x' = 1", 6: "\n\n\n\n\nport = a b c",
	} {
		_, err := ParseConf(text)
		var ce *ConfError
		if !errors.As(err, &ce) || ce.Line != line {
			t.Errorf("%q: got %v, want an error in line %d", text, err, line)
		}
	}
}

func FuzzConfRoundTrip(f *testing.F) {
	for _, s := range []string{"", "'", `\`, "a\nb", "\\'", "é'", "\r", "#"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := QuoteConf(s)
		if err != nil {
			if strings.ContainsRune(s, 0) {
				return
			}
			t.Fatal(err)
		}
		got, err := ParseConf("x = " + q + " # c")
		if err != nil || len(got) != 1 || got[0].Value != s {
			t.Fatalf("%q -> %s -> %v, %v", s, q, got, err)
		}
	})
}

func FuzzParseConf(f *testing.F) {
	f.Add("a = 1\nb 'c'")
	f.Fuzz(func(t *testing.T, s string) {
		entries, err := ParseConf(s)
		if err != nil {
			return
		}
		for _, e := range entries {
			if e.Name == "" || e.Line < 1 {
				t.Fatalf("%+v", e)
			}
		}
	})
}

func TestQuote(t *testing.T) {
	for _, c := range []struct {
		f        func(string) (string, error)
		in, want string
	}{
		{QuoteLiteral, "o'x", "'o''x'"},
		{QuoteLiteral, `a\'`, ` E'a\\'''`},
		{QuoteIdentifier, `a"b`, `"a""b"`},
		{QuoteConninfo, `p'w \`, `'p\'w \\'`},
		{QuoteConf, `it's \ `, `'it''s \\ '`},
	} {
		got, err := c.f(c.in)
		if err != nil || got != c.want {
			t.Errorf("%q: got %s, %v; want %s", c.in, got, err, c.want)
		}
		if _, err := c.f("a\x00"); err == nil {
			t.Errorf("a zero byte was quoted")
		}
	}
	line, err := PassfileLine("10.0.0.1", "5432", "replication", "repl:x", `s:e\c`)
	if err != nil || line != `10.0.0.1:5432:replication:repl\:x:s\:e\\c` {
		t.Error(line, err)
	}
	if _, err := PassfileLine("*", "*", "*", "u", "geheim\n"); err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("got %v", err)
	}
}

func TestSlotName(t *testing.T) {
	if got := SlotName("node2"); got != "pg_manage_node2" {
		t.Error(got)
	}
	seen := map[string]string{}
	long := strings.Repeat("n", 60)
	for _, n := range []string{"node2", "node-2", "node_2", "Node2", "node.2", long + "a", long + "b", "nöde", ""} {
		s := SlotName(n)
		if other, ok := seen[s]; ok {
			t.Errorf("%q and %q share the slot %s", n, other, s)
		}
		seen[s] = n
		if len(s) > 63 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			t.Errorf("%q gives %q, which is no slot name", n, s)
		}
	}
}

func TestVersion(t *testing.T) {
	for in, want := range map[string]Version{
		"17.2": 170002, "17beta1": 170000, "18rc1": 180000, "19devel": 190000, "170002": 170002, "15": 150000,
		"15.18 (Debian 15.18-0+deb12u1)":                       150018,
		"pg_ctl (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": 150018,
		"PostgreSQL 16.4 on x86_64-pc-linux-gnu":               160004,
	} {
		if got, err := ParseVersion(in); err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "x", "9.6.24", "17.", "17.x", "17gamma", "90624", "17.2.3"} {
		if got, err := ParseVersion(in); err == nil {
			t.Errorf("%q: got %d", in, got)
		}
	}
	if v := Version(170002); v.Major() != 17 || v.Minor() != 2 || v.String() != "17.2" {
		t.Error(v)
	}
}

func FuzzParseVersion(f *testing.F) {
	f.Add("17.2 (Debian)")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseVersion(s)
		if err == nil && (v.Major() < 10 || v.Major() > 999) {
			t.Fatalf("%q: %d", s, v)
		}
	})
}
