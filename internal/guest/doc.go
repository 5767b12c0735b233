// Package guest boots virtual machines: a kernel of Debian's, and this very program, which
// is the guest's first process and does there what the host has named.
//
//	func main() {
//		guest.Enter(map[string]guest.Job{"format": format}) // does not return in a guest
//		g, err := guest.Boot(dir, guest.Config{Job: "format", Modules: []string{"virtio_blk", "ext4"}, Programs: []string{"mkfs.ext4"}})
//		…
//		defer g.Kill()
//		for line := range g.Lines { … }
//		err = g.Wait()
//	}
//
//	func format(in *guest.Inside) error { // runs in the guest
//		in.Tell("formatting")
//		_, err := in.Run("mkfs.ext4", "-q", "/dev/vda")
//		return err
//	}
//
// It needs QEMU (Debian's qemu-system-x86), no root and no KVM: a boot takes 2 s on an
// idle machine, and ten times that on a busy one. scripts/guest-kernel gets the kernel,
// the first time that one is wanted.
//
// What the job tells has left the guest when Tell returns, and arrives even when the
// guest is killed thereafter: of a write of which the job tells first, the host knows.
//
// Tests use it by internal/testing/guest.
package guest
