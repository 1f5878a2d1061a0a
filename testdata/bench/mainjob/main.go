// Command mainjob measures planning and building a standby on real hosts, each against
// what a person would do by hand in the same run, and prints the ratios.
//
//	go run ./testdata/bench/mainjob [-scale 60] [-runs 15]
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pg_manage/testdata/lab"
)

const clusterFile = `
target "vault" { url = "ssh://backup@%s/backup" }
cluster "main" {
  version = 17
  connection { user = "postgres" }
  node "node1" {
    host = "%s"
    role = "primary"
  }
  node "node2" {
    host = "%s"
    role = "standby"
  }
  replication {
    user     = "replicator"
    password = "bench-only"
  }
  archive { target = "vault" }
}
`

func main() {
	scale := flag.Int("scale", 60, "pgbench scale of the database that a standby is built from (15 MB each)")
	runs := flag.Int("runs", 15, "how often each thing is measured")
	flag.Parse()
	if err := bench(*scale, *runs); err != nil {
		log.Fatal(err)
	}
}

type site struct {
	lab  *lab.Lab
	dir  string
	tool string
}

func bench(scale, runs int) (err error) {
	l, err := lab.Up()
	if err != nil {
		return err
	}
	defer func() {
		if e := l.Down(); err == nil {
			err = e
		}
	}()
	if err := l.Add(context.Background(), lab.NodeSpec{Name: "node1"}, lab.NodeSpec{Name: "node2"}, lab.NodeSpec{Name: "vault", Backup: true}); err != nil {
		return err
	}
	for _, n := range []string{"node1", "node2"} {
		if err := l.Trust(n, "postgres", "vault", "backup"); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "pg_manage-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s := &site{lab: l, dir: dir, tool: filepath.Join(dir, "bin", "pg_manage")}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "bin")+"/", "pg_manage/cmd/pg_manage", "pg_manage/cmd/pg_manage-hook")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	text := fmt.Sprintf(clusterFile, l.Node("vault").IP, l.Node("node1").IP, l.Node("node2").IP)
	if err := os.WriteFile(filepath.Join(dir, "cluster.hcl"), []byte(text), 0o600); err != nil {
		return err
	}
	if _, err := s.pgManage("apply", "--auto-approve"); err != nil {
		return err
	}
	if err := s.plan(runs); err != nil {
		return err
	}
	return s.standby(scale)
}

func (s *site) pgManage(args ...string) (string, error) {
	cmd := s.lab.Operator(s.tool, args...)
	cmd.Dir = s.dir
	return output(cmd)
}

func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

// plan measures the plan of a healthy cluster of two nodes against one `ssh node true`.
func (s *site) plan(runs int) error {
	var ssh, plan []time.Duration
	for range runs { // in turn, so that both see the same machine
		d, err := timed(func() error { _, err := output(s.lab.SSH("postgres", "node1", "true")); return err })
		if err != nil {
			return err
		}
		ssh = append(ssh, d)
		d, err = timed(func() error { _, err := s.pgManage("plan", "--detailed-exitcode"); return err })
		if err != nil {
			return err
		}
		plan = append(plan, d)
	}
	fmt.Printf("ssh node1 true               %8s (median of %d)\n", median(ssh), runs)
	fmt.Printf("plan of 2 nodes, no changes  %8s   ratio %.2f\n", median(plan), ratio(plan, ssh))
	return nil
}

// standby measures the build-standby step against pg_basebackup by hand.
func (s *site) standby(scale int) error {
	node1, node2 := s.lab.Node("node1"), s.lab.Node("node2")
	if _, err := node1.Exec("runuser", "-u", "postgres", "--", "/usr/lib/postgresql/17/bin/pgbench", "-i", "-q", "-s", fmt.Sprint(scale), "postgres"); err != nil {
		return err
	}
	size, err := node1.Exec("du", "-sh", "/var/lib/postgresql/17/main")
	if err != nil {
		return err
	}
	var hand, ours []time.Duration
	for range 3 {
		const byHand = "/var/lib/postgresql/by-hand"
		d, err := timed(func() error {
			_, err := output(s.lab.SSH("postgres", "node2", "pg_basebackup --pgdata="+byHand+" --wal-method=stream --checkpoint=fast --no-password "+
				"--dbname='host="+node1.IP+" user=replicator passfile=/var/lib/postgresql/.pg_manage/main/node2/passfile'"))
			return err
		})
		if err != nil {
			return err
		}
		hand = append(hand, d)
		if _, err := node2.Exec("sh", "-c", "rm -rf "+byHand+" && runuser -u postgres -- pg_ctlcluster 17 main stop -m immediate && rm -rf /var/lib/postgresql/17/main && sync"); err != nil {
			return err
		}
		d, err = s.buildStep()
		if err != nil {
			return err
		}
		ours = append(ours, d)
		if _, err := node2.Exec("sync"); err != nil {
			return err
		}
	}
	fmt.Printf("data directory               %8s\n", strings.Fields(size)[0])
	fmt.Printf("pg_basebackup by hand        %8s (median of %d)\n", median(hand), len(hand))
	fmt.Printf("step build-standby           %8s   ratio %.2f\n", median(ours), ratio(ours, hand))
	return nil
}

// buildStep applies and gives how long the step build-standby took.
func (s *site) buildStep() (time.Duration, error) {
	out, err := s.pgManage("apply", "--auto-approve", "--json")
	if err != nil {
		return 0, err
	}
	for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); {
		var e struct {
			Type    string        `json:"type"`
			Step    string        `json:"step"`
			Elapsed time.Duration `json:"elapsed_ns"`
		}
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Type == "step_done" && strings.HasSuffix(e.Step, "/build-standby") {
			return e.Elapsed, nil
		}
	}
	return 0, fmt.Errorf("apply did not build a standby:\n%s", out)
}

func timed(do func() error) (time.Duration, error) {
	start := time.Now()
	err := do()
	return time.Since(start), err
}

func median(ds []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(ds))
	return sorted[len(sorted)/2].Round(100 * time.Microsecond)
}

func ratio(a, b []time.Duration) float64 { return float64(median(a)) / float64(median(b)) }
