package tap

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestExplain looks for what to do in every error, and for the kernel's own.
func TestExplain(t *testing.T) {
	call := func(err error) error { return os.NewSyscallError("TUNSETIFF", err) }
	for _, test := range []struct {
		got  error
		is   error
		want []string
	}{
		{explainNode(unix.ENOENT), fs.ErrNotExist, []string{"/dev/net/tun is missing", "sudo modprobe tun", "--device /dev/net/tun"}},
		{explainNode(unix.ENODEV), unix.ENODEV, []string{"sudo modprobe tun"}},
		{explainNode(unix.ENXIO), unix.ENXIO, []string{"sudo modprobe tun"}},
		{explainNode(unix.EACCES), fs.ErrPermission, []string{"sudo chmod 666 /dev/net/tun"}},
		{explainNode(unix.EMFILE), unix.EMFILE, []string{"/dev/net/tun"}},
		{explainAttach("tap0", false, call(unix.EPERM)), fs.ErrPermission, []string{"sudo;", "sudo setcap cap_net_admin+ep", "-rootless"}},
		{explainAttach("tap0", true, call(unix.EPERM)), fs.ErrPermission, []string{"tap0 belongs to another user", "sudo ip tuntap add dev tap0 mode tap multi_queue user"}},
		{explainAttach("tap0", true, call(unix.EBUSY)), unix.EBUSY, []string{"tap0 is held by another program"}},
		{explainAttach("eth0", true, call(unix.EINVAL)), unix.EINVAL, []string{"eth0 is there already, and is no tap", "another name"}},
		{explainAttach("tap0", false, call(unix.EINVAL)), unix.EINVAL, []string{"tap0", "TUNSETIFF"}},
		{explainHost("tap0", unix.EPERM), fs.ErrPermission, []string{"sudo ip addr add", "dev tap0", "sudo ip link set tap0 up"}},
		{explainHost("tap0", unix.EINVAL), unix.EINVAL, []string{"tap0"}},
	} {
		if !errors.Is(test.got, test.is) {
			t.Errorf("%v is not %v", test.got, test.is)
		}
		for _, want := range test.want {
			if !strings.Contains(test.got.Error(), want) {
				t.Errorf("%v: has not %q", test.got, want)
			}
		}
	}
}
