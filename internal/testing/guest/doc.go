// Package guest boots virtual machines for tests that want a kernel of their own: one
// that loads modules, has block devices, and loses its page cache when it is killed.
// It is package internal/guest with what a test adds: the guest ends with the test, and
// where there can be none the test is skipped, or fails in CI.
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
// A boot takes seconds, so a test does in one guest what it can.
package guest
