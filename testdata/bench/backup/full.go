package main

import (
	"fmt"

	"pg_manage/testdata/bench/hosts"
	"pg_manage/testdata/bench/table"
)

// fullLocal measures full backups into a repository on the database's host. The last of
// each contender stays.
func (s *site) fullLocal() error {
	if err := s.pgbench(); err != nil {
		return err
	}
	cs := []*contender{s.oursLocal(), s.pgBackRestLocal()}
	all, _, err := s.fullBackups(cs)
	if err != nil {
		return err
	}
	s.local, s.fulls = cs, all[0]
	s.reportFull("a  full, local", cs, all)
	return nil
}

func (s *site) fullRemote() error {
	if err := s.pgbench(); err != nil {
		return err
	}
	cs := []*contender{
		s.ours("pg_manage ssh", hosts.Dir+"/ours-ssh", true, workers),
		s.pgBackRest("pgBackRest ssh", hosts.Dir+"/pgbackrest-ssh", true),
	}
	all, back, err := s.fullBackups(cs)
	if err != nil {
		return err
	}
	s.reportFull("b  full, ssh", cs, all)
	s.report.Row("b  restore, ssh: pg_manage / pgBackRest", "", table.Times(wall(back[0]), wall(back[1])),
		figures(cs[0].name, back[0])+"; "+figures(cs[1].name, back[1]))
	return s.remove(hosts.Dir+"/ours-ssh", hosts.Dir+"/pgbackrest-ssh")
}

// fullBackups lets contenders take full backups in turns, and restores each.
func (s *site) fullBackups(cs []*contender) (taken, restored [][]spent, err error) {
	taken, restored = make([][]spent, len(cs)), make([][]spent, len(cs))
	for run := range s.runs {
		for _, k := range turns(cs, run) {
			p, err := s.full(cs[k])
			if err != nil {
				return nil, nil, err
			}
			r, err := s.putAndCheck(cs[k])
			if err != nil {
				return nil, nil, err
			}
			taken[k], restored[k] = append(taken[k], p), append(restored[k], r)
		}
	}
	return taken, restored, nil
}

func (s *site) reportFull(what string, cs []*contender, all [][]spent) {
	both := figures(cs[0].name, all[0]) + "; " + figures(cs[1].name, all[1])
	s.report.Row(what+": pg_manage / pgBackRest", "<= 0.6x", table.Times(wall(all[0]), wall(all[1])), both)
	s.report.Row(what+": processor time", "<= 0.7x", table.Times(cpu(all[0]), cpu(all[1])), "as above")
	s.report.Row(what+": bytes stored", "", fmt.Sprintf("%.2fx", float64(stored(all[0]))/float64(stored(all[1]))), "as above")
}

// localBackups are contenders whose local repositories hold a full backup of pgbench's data.
func (s *site) localBackups() ([]*contender, error) {
	if err := s.pgbench(); err != nil {
		return nil, err
	}
	if s.local != nil {
		return s.local, nil
	}
	cs := []*contender{s.oursLocal(), s.pgBackRestLocal()}
	for i, c := range cs {
		p, err := s.full(c)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			s.fulls = append(s.fulls, p)
		}
	}
	s.local = cs
	return cs, nil
}
