package main

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"pg_manage/testdata/bench/hosts"
	"pg_manage/testdata/bench/table"
)

const relationFacts = "SELECT count(*) || ' relations of ' || sum(relpages) FROM pg_class WHERE relname ~ '^r[0-9]+$'"

// smallRelations measures how long a file takes when there are many small ones.
func (s *site) smallRelations() error {
	err := s.instance("relations", relationFacts, s.makeRelations)
	if err != nil {
		return err
	}
	n := 0
	for _, dir := range []string{"/base", "/global"} {
		if err := files(s.Path(dataDir+dir), func(string, fs.FileInfo) error { n++; return nil }); err != nil {
			return err
		}
	}
	cs := []*contender{
		s.ours("pg_manage", hosts.Dir+"/small-ours", false, workers),
		s.pgBackRest("pgBackRest bundle", hosts.Dir+"/small-bundle", false, "repo1-bundle=y"),
		s.pgBackRest("pgBackRest", hosts.Dir+"/small-pgbackrest", false),
	}
	taken, restored := make([]spent, len(cs)), make([]spent, len(cs))
	for i, c := range cs {
		if taken[i], err = s.full(c); err != nil {
			return err
		}
		if restored[i], err = s.putAndCheck(c); err != nil {
			return err
		}
		if err := c.ended(); err != nil {
			return err
		}
	}
	s.reportSmall("full", n, cs, taken)
	s.reportSmall("restore", n, cs, restored)
	s.report.Row("g  peak of memory, 2 workers", "< 300 MB", table.Megabytes(max(taken[0].peak, restored[0].peak)),
		fmt.Sprintf("full %s, restore %s", table.Megabytes(taken[0].peak), table.Megabytes(restored[0].peak)))
	return s.remove(hosts.Dir+"/small-ours", hosts.Dir+"/small-bundle", hosts.Dir+"/small-pgbackrest")
}

func (s *site) reportSmall(what string, n int, cs []*contender, took []spent) {
	perFile := func(i int) string {
		out := fmt.Sprintf("%s %.0f µs a file (%s)", cs[i].name, float64(took[i].wall)/float64(n)/float64(time.Microsecond), table.Seconds(took[i].wall))
		if took[i].stored > 0 {
			out += ", " + table.Megabytes(took[i].stored)
		}
		return out
	}
	for i := 1; i < len(cs); i++ {
		s.report.Row(fmt.Sprintf("g  %d files, %s: pg_manage / %s", n, what, cs[i].name), "", table.Times(took[0].wall, took[i].wall), perFile(0)+"; "+perFile(i))
	}
}

// makeRelations makes small relations, several at a time.
func (s *site) makeRelations(v *hosts.Server) error {
	const sessions = 4
	errs := make([]error, sessions)
	var wg sync.WaitGroup
	for i := range sessions {
		first, last := 1+i*s.relations/sessions, (i+1)*s.relations/sessions
		wg.Go(func() {
			_, errs[i] = v.SQL(fmt.Sprintf("DO $$ BEGIN FOR i IN %d..%d LOOP EXECUTE 'CREATE TABLE r' || i || ' AS SELECT 1 AS x'; "+
				"IF i %% 1000 = 0 THEN COMMIT; END IF; END LOOP; END $$", first, last))
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
