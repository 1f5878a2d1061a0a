package main

import (
	"os/user"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"pg_manage": main, "pg_manage-hook": main})
}

// TestScripts runs the command lines of testdata/script as a user would.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "mode": mode},
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			me, err := user.Current()
			if err != nil {
				return err
			}
			env.Setenv("ME", me.Username)
			return nil
		},
	})
}
