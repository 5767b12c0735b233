package kernel_test

import (
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/internal/testing/need"
)

func TestMain(m *testing.M) {
	guest.Main(m, map[string]guest.Job{"devices": useDevices})
}

// devices are what the job tries, each by itself.
var devices = []struct {
	name string
	use  func(*guest.Inside) error
}{{"net", useNet}, {"vsock", useVsock}, {"scsi", useSCSI}, {"vdpa", useVDPA}, {"huge pages", useHugePages}}

// useDevices uses all devices in turn, and tells how each went.
func useDevices(in *guest.Inside) error {
	for _, d := range devices {
		if err := d.use(in); err != nil {
			in.Tell("%s: %s", d.name, strings.ReplaceAll(err.Error(), "\n", " | "))
			continue
		}
		in.Tell("%s: ok", d.name)
	}
	return nil
}

// TestDevices boots a kernel that has all devices, in which this program drives them.
// Only later kernels than Debian's own have vDPA.
func TestDevices(t *testing.T) {
	g := guest.Start(t, guest.Config{
		Job: "devices", Kernel: "linux-image-6.12-amd64", Memory: 512,
		Modules: []string{"tun", "vhost_net", "vhost_vsock", "configfs", "target_core_mod", "target_core_file", "vhost_scsi",
			"vdpa", "vduse", "vhost_vdpa"},
		Programs: []string{need.Program(t, "qemu-storage-daemon")},
	})
	said := map[string]string{}
	for line := range g.Lines {
		if name, how, ok := strings.Cut(line, ": "); ok && how != "" {
			said[name] = how
		}
		t.Log(line)
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	for _, d := range devices {
		t.Run(d.name, func(t *testing.T) {
			if said[d.name] != "ok" {
				t.Errorf("%q", said[d.name])
			}
		})
	}
}
