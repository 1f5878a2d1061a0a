package call

import (
	"slices"
	"strings"
	"testing"
)

func TestArguments(t *testing.T) {
	for _, c := range []struct {
		args            string
		config, command string
	}{
		{"--config f archive p", "f", "archive"},
		{"-config f archive p", "f", "archive"},
		{"--config=f archive p", "f", "archive"},
		{"-config=f restore a b", "f", "restore"},
		{"archive --config f p", "f", "archive"},
		{"restore a b --config f", "f", "restore"},
		{"restore --wait 5 --config=f a b", "f", "restore"},
		{"--config f --config g archive p", "g", "archive"},
		{"--config restore archive p", "restore", "archive"},
		{"restore a b", "", "restore"},
		{"restore a b --config", "", "restore"},
		{"--config= restore a b", "", "restore"},
		{"archive p", "", "archive"},
		{"--confg f restore a b", "", "restore"},
		{"--log restore a b", "", "restore"},
		{"-- restore a b", "", "restore"},
		{"---config f restore a b", "", "restore"},
		{"--config f --unknown restore a b", "", "restore"},
		{"--confg f archive p", "", ""},
		{"--config f", "f", ""},
		{"--config", "", ""},
		{"", "", ""},
		{"--config restore", "restore", ""},
		{"--config f status", "f", "status"},
		{"--config f nonsense restore", "f", "nonsense"},
	} {
		if config, command := Parse(strings.Fields(c.args)); config != c.config || command != c.command {
			t.Errorf("%q: configuration %q, command %q", c.args, config, command)
		}
	}
	for args, want := range map[string]string{
		"--config f archive p": "archive p", "archive p --config=f": "archive p", "-config f --wait 5": "--wait 5", "--config": "--config",
	} {
		if got := strings.Join(without(strings.Fields(args)), " "); got != want {
			t.Errorf("%q: %q is left", args, got)
		}
	}
	for args, want := range map[string]string{
		"--config f archiver": "--config f", "archiver --config f --idle 1s": "--config f --idle 1s",
		"archive archiver": "-", "--config archiver": "-", "": "-",
	} {
		rest, ok := Command(strings.Fields(args), "archiver")
		if got := strings.Join(rest, " "); ok != (want != "-") || ok && got != want {
			t.Errorf("%q: %v, %q", args, ok, got)
		}
	}
}

func FuzzArguments(f *testing.F) {
	f.Add("--config\nf\nrestore\na\nb")
	f.Add("-config=\n--\n-")
	f.Fuzz(func(t *testing.T, text string) {
		args := strings.Split(text, "\n")
		config, command := Parse(args)
		if command == "restore" && !slices.Contains(args, "restore") || config != "" && !strings.Contains(text, config) {
			t.Fatalf("%q: %q, %q", args, config, command)
		}
		rest := without(args)
		if again := without(rest); len(rest) > 0 && len(again) > len(rest) {
			t.Fatalf("%q: %q", args, again)
		}
		request(rest, command)
		Command(args, "archiver")
	})
}
