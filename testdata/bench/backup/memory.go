package main

import (
	"fmt"

	"pg_manage/testdata/bench/hosts"
	"pg_manage/testdata/bench/table"
)

// memory measures what pg_manage takes at most while it backs up and restores a small
// database and a large one.
func (s *site) memory() error {
	scales := []int{max(2, s.scale*68/150), max(6, s.scale*204/150)} // 1 GB and 3 GB by default
	if s.big {
		scales = append(scales, 680)
	}
	c := s.ours("pg_manage 4 workers", hosts.Dir+"/memory", false, memoryWorkers)
	peaks, sizes := map[string][]uint64{}, []string{}
	tasks := []string{"full backup", "incremental backup", "restore"}
	there := 0
	for i, scale := range scales {
		database := "postgres"
		if i > 0 {
			database = fmt.Sprintf("more%d", i)
		}
		fill := func(v *hosts.Server) error {
			if i > 0 {
				if _, err := v.SQL("CREATE DATABASE " + database); err != nil {
					return err
				}
			}
			return s.pgbenchTables(database, scale-there)
		}
		var err error
		if i == 0 {
			err = s.instance("memory", pgbenchFacts, fill)
		} else {
			err = s.fill(fill)
		}
		if err != nil {
			return err
		}
		there = scale
		size, err := s.peaks(c, tasks, peaks)
		if err != nil {
			return err
		}
		sizes = append(sizes, size)
	}
	s.data = "" // not to be used by others
	for _, task := range tasks {
		p, said := peaks[task], ""
		for i := range p {
			if i > 0 {
				said += ", "
			}
			said += fmt.Sprintf("%s for %s", table.Megabytes(p[i]), sizes[i])
		}
		last := p[len(p)-1]
		s.report.Row("f  peak of memory, 4 workers: "+task, "< 300 MB", table.Megabytes(last), said)
		s.report.Row("f  peak of memory, large / small: "+task, "no growth", fmt.Sprintf("%.2fx", float64(last)/float64(p[0])), "as above")
	}
	return s.remove(hosts.Dir + "/memory")
}

// peaks does each task once, and gives the size of the database.
func (s *site) peaks(c *contender, tasks []string, peaks map[string][]uint64) (string, error) {
	do := []func() (spent, error){
		func() (spent, error) { return s.full(c) },
		func() (spent, error) { return s.take(c, true) },
		func() (spent, error) { return s.putAndCheck(c) },
	}
	for i, task := range tasks {
		p, err := do[i]()
		if err != nil {
			return "", err
		}
		if p.peak == 0 {
			return "", fmt.Errorf("%s: nothing was seen of the memory of %s", task, c.name)
		}
		peaks[task] = append(peaks[task], p.peak)
	}
	info, err := c.info()
	if err != nil {
		return "", err
	}
	return table.Megabytes(uint64(info.Size)), nil
}
