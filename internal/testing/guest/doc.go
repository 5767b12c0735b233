// Package guest boots virtual machines for tests that want a kernel of their own: one
// that loads modules, has block devices, and loses its page cache when it is killed.
//
// The guest is a kernel of Debian's and the test's own program, which is the guest's
// first process and does there what the test has named:
//
//	func TestMain(m *testing.M) {
//		guest.Main(m, map[string]guest.Job{"format": format})
//	}
//
//	func format(in *guest.Inside) error { // runs in the guest
//		in.Tell("formatting")
//		_, err := in.Run("mkfs.ext4", "-q", "/dev/vda")
//		return err
//	}
//
//	func TestFormat(t *testing.T) {
//		g := guest.Start(t, guest.Config{Job: "format", Modules: []string{"virtio_blk", "ext4"}, Programs: []string{"mkfs.ext4"}})
//		for line := range g.Lines { … }
//		if err := g.Wait(); err != nil { t.Fatal(err) }
//	}
//
// It needs QEMU (Debian's qemu-system-x86), no root and no KVM: a boot takes 2 s on an
// idle machine, and ten times that on a busy one, so a test does in one guest what it
// can. scripts/guest-kernel gets the kernel, the first time that one is wanted.
//
// What the job tells has left the guest when Tell returns, and arrives even when the
// guest is killed thereafter: of a write of which the job tells first, the host knows.
package guest
