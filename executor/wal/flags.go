package wal

import (
	"flag"
	"fmt"
	"strconv"
	"time"
)

type options struct {
	config              string
	log                 bool
	retries             int
	retryInterval, poll seconds
	wait                *seconds
	system              uint64
	segmentSize         int64
	target              string
	local               bool
}

func (o *options) register(fs *flag.FlagSet, command string) {
	if command == "archive" || command == "restore" {
		fs.BoolVar(&o.log, "log", false, "")
	}
	switch command {
	case "restore":
		fs.IntVar(&o.retries, "retries", o.retries, "")
		fs.Var(&o.retryInterval, "retry-interval", "")
		fs.Var(&o.poll, "poll-interval", "")
		fs.Func("wait", "", func(s string) error {
			o.wait = new(seconds)
			return o.wait.Set(s)
		})
	case "status":
		fs.BoolVar(&o.local, "local", false, "")
	case "check":
		fs.StringVar(&o.target, "target", "", "")
	case "init":
		fs.StringVar(&o.target, "target", "", "")
		fs.Uint64Var(&o.system, "system-identifier", 0, "")
		fs.Int64Var(&o.segmentSize, "segment-size", 0, "")
	}
}

// seconds is a time as 90s, 5m or bare seconds.
type seconds time.Duration

func (s *seconds) String() string { return time.Duration(*s).String() }

// Set reads a time.
func (s *seconds) Set(text string) error {
	d, err := time.ParseDuration(text)
	if n, nerr := strconv.ParseUint(text, 10, 31); nerr == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < 0 {
		return fmt.Errorf("%q is no time: write 90s, 5m or bare seconds", text)
	}
	*s = seconds(d)
	return nil
}
