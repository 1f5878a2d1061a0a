package call

import (
	"syscall"
	"unsafe"
)

// What a process does on a signal, for rt_sigaction(2).
const (
	sigDefault = 0
	sigIgnore  = 1
)

// signals lets signals end the process as the kernel does it, with nothing of Go's
// runtime in between: on SIGQUIT and SIGABRT that would end with status 2, which is an
// answer. Package os/signal would cost more than the whole call. SIGPIPE needs nothing:
// the runtime ignores it.
func signals() {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGABRT} {
		act(sig, sigDefault)
	}
	act(syscall.SIGHUP, sigIgnore)
}

// act tells the kernel. Its struct sigaction begins with the handler; flags, restorer
// and mask (of 8 bytes) are empty.
func act(sig syscall.Signal, handler uintptr) {
	action := [8]uintptr{handler}
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0) //nolint:errcheck // it cannot fail for these
}
