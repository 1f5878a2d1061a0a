package main

import (
	"errors"
	"fmt"
	"log"
	"os"

	"pg_manage/testdata/bench/hosts"
	"pg_manage/testdata/bench/table"
)

// restores measures restores into an empty directory, and cp of one.
func (s *site) restores() error {
	cs, err := s.localBackups()
	if err != nil {
		return err
	}
	const source, copied = hosts.Dir + "/source", hosts.Dir + "/copied"
	if _, err := s.put(cs[0], false); err != nil {
		return err
	}
	if err := os.Rename(s.Path(cs[0].restoredDir()), s.Path(source)); err != nil {
		return err
	}
	cp := func() (p spent, err error) {
		if err := errors.Join(s.remove(copied), s.prepare(s.Path(source))); err != nil {
			return p, err
		}
		p, err = s.measure(command{host: s.DB, args: hosts.AsPostgres("sh", "-euc", `cp -a --reflink=never "$1" "$2"; sync -f "$2"`, "sh", source, copied)})
		log.Printf("%-22s copy    %s", "cp -a && sync", table.Seconds(p.wall))
		return p, err
	}
	do := []func() (spent, error){
		func() (spent, error) { return s.put(cs[0], false) },
		func() (spent, error) { return s.put(cs[1], false) },
		cp,
	}
	all := make([][]spent, len(do))
	for run := range s.runs {
		for _, k := range turns(do, run) {
			p, err := do[k]()
			if err != nil {
				return err
			}
			all[k] = append(all[k], p)
		}
	}
	for _, c := range cs {
		if err := s.check(c); err != nil {
			return err
		}
	}
	s.restore = all[0]
	both := fmt.Sprintf("%s; %s; %s", figures(cs[0].name, all[0]), figures(cs[1].name, all[1]), figures("cp -a && sync", all[2]))
	s.report.Row("c  restore: pg_manage / pgBackRest", "<= 0.8x", table.Times(wall(all[0]), wall(all[1])), both)
	s.report.Row("c  restore: pg_manage / cp -a && sync", "<= 1.2x", table.Times(wall(all[0]), wall(all[2])), "as above")
	return s.remove(source, copied)
}

// deltas measures restores over a directory of which 1% of the blocks were changed.
func (s *site) deltas() error {
	cs, err := s.localBackups()
	if err != nil {
		return err
	}
	for i, c := range cs {
		p, err := s.put(c, false)
		if err != nil {
			return err
		}
		if i == 0 {
			s.restore = append(s.restore, p)
		}
	}
	for _, contiguous := range []bool{false, true} {
		all, changed := make([][]spent, len(cs)), ""
		for run := range s.runs {
			for _, k := range turns(cs, run) {
				if changed, err = spoil(s.Path(cs[k].restoredDir()), contiguous, uint64(run)); err != nil {
					return err
				}
				p, err := s.put(cs[k], true)
				if err != nil {
					return err
				}
				all[k] = append(all[k], p)
				if k == 0 {
					if err := s.verifyBackup(cs[k], cs[k].restoredDir()); err != nil {
						return err
					}
				}
			}
		}
		what := "d  delta, scattered blocks: "
		if contiguous {
			what = "d  delta, contiguous blocks: "
		}
		s.report.Row(what+"pg_manage / its full restore", "<= 0.25x", table.Times(wall(all[0]), wall(s.restore)),
			fmt.Sprintf("%s changed; %s; full %s", changed, figures(cs[0].name, all[0]), table.Seconds(wall(s.restore))))
		s.report.Row(what+"pg_manage / pgBackRest --delta", "", table.Times(wall(all[0]), wall(all[1])), figures(cs[1].name, all[1]))
	}
	for _, c := range cs {
		if err := s.check(c); err != nil {
			return err
		}
	}
	return nil
}
