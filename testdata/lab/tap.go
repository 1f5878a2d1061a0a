package lab

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// maxFrame is the largest frame of a TAP device: a segment as large as offloading makes them, its Ethernet header and the
// virtio header before it.
const maxFrame = 12 + 18 + 65536

// openTap makes a TAP device, which lives until its file is closed. Frames pass with a virtio header and unsegmented, so
// that a fast stream costs few of them (Documentation/networking/tuntap.rst).
func openTap(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("lab: /dev/net/tun: %w (modprobe tun)", err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = errors.Join(
			unix.IoctlIfreq(fd, unix.TUNSETIFF, req),
			unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6),
			unix.SetNonblock(fd, true), // only now: the runtime cannot poll a file without its device
		)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lab: TAP device %s: %w", name, err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), name), nil
}
