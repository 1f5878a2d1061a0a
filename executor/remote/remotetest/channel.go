package remotetest

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// channel serves one channel of a connection on which open sessions are counted.
func (s *Server) channel(nc ssh.NewChannel, open *atomic.Int64) {
	switch nc.ChannelType() {
	case "session":
		if open.Add(1) > int64(s.maxSess) {
			open.Add(-1)
			nc.Reject(ssh.Prohibited, "open failed")
			return
		}
		defer open.Add(-1)
		ch, reqs, err := nc.Accept()
		if err == nil {
			s.session(ch, reqs)
		}
	case "direct-streamlocal@openssh.com":
		var m struct {
			Path      string
			Reserved0 string
			Reserved1 uint32
		}
		s.forward(nc, ssh.Unmarshal(nc.ExtraData(), &m), "unix", func() string { return m.Path })
	case "direct-tcpip":
		var m struct {
			Host     string
			Port     uint32
			FromHost string
			FromPort uint32
		}
		s.forward(nc, ssh.Unmarshal(nc.ExtraData(), &m), "tcp", func() string {
			return net.JoinHostPort(m.Host, strconv.Itoa(int(m.Port)))
		})
	default:
		nc.Reject(ssh.UnknownChannelType, "unknown channel type")
	}
}

func (s *Server) forward(nc ssh.NewChannel, err error, network string, address func() string) {
	if err != nil {
		nc.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	conn, err := net.Dial(network, address())
	if err != nil {
		nc.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer conn.Close()
	ch, reqs, err := nc.Accept()
	if err != nil {
		return
	}
	go ssh.DiscardRequests(reqs)
	go func() {
		io.Copy(conn, ch)
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		}
	}()
	io.Copy(ch, conn)
	ch.Close()
}

func (s *Server) session(ch ssh.Channel, reqs <-chan *ssh.Request) {
	defer ch.Close()
	s.sessions.Add(1)
	now := s.running.Add(1)
	defer s.running.Add(-1)
	for p := s.peak.Load(); now > p && !s.peak.CompareAndSwap(p, now); p = s.peak.Load() {
	}
	var work sync.WaitGroup
	defer work.Wait()
	var group atomic.Int64
	begun := false
	for req := range reqs {
		var m struct{ Text string }
		ok := ssh.Unmarshal(req.Payload, &m) == nil
		switch {
		case req.Type == "exec" && ok && !begun:
			begun = true
			if s.exec != nil {
				req.Reply(true, nil)
				work.Add(1)
				go func() {
					defer work.Done()
					status := s.exec(m.Text, ch, ch)
					ch.SendRequest("exit-status", false, ssh.Marshal(struct{ S uint32 }{uint32(status)}))
					ch.Close()
				}()
				continue
			}
			cmd, stdin, err := s.start(ch, m.Text)
			req.Reply(err == nil, nil)
			if err != nil {
				return
			}
			group.Store(int64(cmd.Process.Pid))
			work.Add(1)
			go func() { defer work.Done(); s.finish(ch, cmd, stdin) }()
		case req.Type == "subsystem" && ok && !begun && m.Text == "sftp":
			begun = true
			server, err := sftp.NewServer(ch)
			req.Reply(err == nil, nil)
			if err != nil {
				return
			}
			work.Add(1)
			go func() {
				defer work.Done()
				if err := server.Serve(); err == nil || errors.Is(err, io.EOF) {
					ch.SendRequest("exit-status", false, ssh.Marshal(struct{ S uint32 }{0}))
				}
				ch.Close()
			}()
		case req.Type == "signal" && ok && group.Load() != 0:
			syscall.Kill(-int(group.Load()), unix.SignalNum("SIG"+m.Text))
		default:
			if req.WantReply {
				req.Reply(false, nil)
			}
		}
	}
}

// start begins a command as sshd does: by the shell, in a process group of its own.
func (s *Server) start(ch ssh.Channel, line string) (*exec.Cmd, io.WriteCloser, error) {
	cmd := exec.Command("/bin/sh", "-c", line)
	cmd.Env = append(os.Environ(), s.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: s.runAs}
	cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, errors.New("the server is closed")
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	s.groups[cmd.Process.Pid] = true
	return cmd, stdin, nil
}

func (s *Server) finish(ch ssh.Channel, cmd *exec.Cmd, stdin io.WriteCloser) {
	go func() {
		io.Copy(stdin, ch)
		stdin.Close()
	}()
	cmd.Wait() // how it ended is in ProcessState
	s.mu.Lock()
	delete(s.groups, cmd.Process.Pid)
	s.mu.Unlock()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		ch.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Signal string
			Core   bool
			Error  string
			Lang   string
		}{strings.TrimPrefix(unix.SignalName(ws.Signal()), "SIG"), ws.CoreDump(), "", ""}))
	} else {
		ch.SendRequest("exit-status", false, ssh.Marshal(struct{ S uint32 }{uint32(cmd.ProcessState.ExitCode())}))
	}
	ch.Close()
}
