package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/internal/testing/need"
)

// insideCuts is the job of a guest that has a store on a disk: it runs the program, tells
// what is there, and does what the host says, until its power is cut.
func insideCuts(in *guest.Inside) error {
	if err := in.Mount("/dev/vda", "/data", "ext4", 0, ""); err != nil {
		return err
	}
	c := &child{}
	defer func() { c.kill() }()
	if err := c.launch(context.Background(), "nbd://", "-store", "/data/store", "-tls", "off", "-auth", "off", "-listen", "127.0.0.1:8080", "-iscsi", "",
		"-sync-every", "256K"); err != nil {
		return err
	}
	if err := tellState(in, c); err != nil {
		return err
	}
	for {
		line, err := in.Hear()
		if err != nil {
			return err
		}
		var verb, name string
		var seed uint64
		var size, from int
		fmt.Sscan(line, &verb, &name, &seed, &size, &from)
		switch verb {
		case "upload":
			_, err = c.call("POST", fmt.Sprintf("msd/write?image=%s&offset=%d", name, from), bytes.NewReader(contents(seed, size)[from:]))
		case "remove":
			_, err = c.call("POST", "msd/remove?image="+name, nil)
		case "connect":
			if _, err = c.call("POST", "msd/set_params?rw=1&image="+name, nil); err == nil {
				_, err = c.call("POST", "msd/set_connected?connected=1", nil)
			}
		case "disconnect":
			_, err = c.call("POST", "msd/set_connected?connected=0", nil)
		case "end":
			return nil
		}
		in.Tell("did %v", err)
	}
}

// tellState tells the host of all images, uploads, and the drive.
func tellState(in *guest.Inside, c *child) error {
	var s state
	if err := in.Await(2*time.Minute, func() bool { // the drive connects again
		now, err := c.call("GET", "msd", nil)
		if err != nil || now["busy"] == true {
			return false
		}
		s, err = stateOf(now)
		return err == nil
	}); err != nil {
		return err
	}
	for name, i := range s.Storage.Images {
		text, err := os.ReadFile("/data/store/images/" + name)
		if err != nil && i.Complete {
			return err
		}
		if i.Complete {
			in.Tell("image %s %x", name, sha256.Sum256(text))
		}
	}
	for name, u := range s.Storage.Uploads {
		in.Tell("upload %s %d", name, u.Written)
	}
	if s.Drive.Connected && s.Drive.Image != nil {
		in.Tell("drive %s", s.Drive.Image.Name)
	}
	in.Tell("ready")
	return nil
}

// contents are those of an image.
func contents(seed uint64, size int) []byte {
	p := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(p)
	return p
}

// An image is one that the host knows of.
type image struct {
	seed uint64
	size int
}

func (i image) sum() string { return fmt.Sprintf("%x", sha256.Sum256(contents(i.seed, i.size))) }

// A ledger is what the host knows of a store: what was acknowledged, and the operation that
// the last power cut may have cut short.
type ledger struct {
	t       *testing.T
	r       *rand.Rand
	images  map[string]image
	drive   string // the image that is connected; empty for none
	pending string // the operation
	of      string // its image
	new     image  // what is uploaded
	seed    uint64
}

// next chooses an operation, and returns the line that tells the guest to do it.
func (l *ledger) next() string {
	name := []string{"a.img", "b.img", "c.img"}[l.r.IntN(3)]
	_, there := l.images[name]
	l.of = name
	switch {
	case !there:
		l.seed++
		l.pending, l.new = "upload", image{l.seed, 1 + l.r.IntN(3<<20)}
		return fmt.Sprintf("upload %s %d %d 0", name, l.new.seed, l.new.size)
	case l.drive == name:
		l.pending = "disconnect"
	case l.drive == "" && l.r.IntN(2) == 0:
		l.pending = "connect"
	default:
		l.pending = "remove"
	}
	return l.pending + " " + name
}

// did takes over what the pending operation has done.
func (l *ledger) did() {
	switch l.pending {
	case "upload":
		l.images[l.of] = l.new
	case "remove":
		delete(l.images, l.of)
	case "connect":
		l.drive = l.of
	case "disconnect":
		l.drive = ""
	}
	l.pending = ""
}

// check compares what a guest tells after a power cut. It returns how much there is of an
// upload that was cut, or -1.
func (l *ledger) check(g *guest.Guest) (uploaded int) {
	uploaded = -1
	images, drive, ready := map[string]string{}, "", false
	for line := range g.Lines {
		var verb, name, value string
		fmt.Sscan(line, &verb, &name, &value)
		switch verb {
		case "image":
			images[name] = value
		case "upload":
			fmt.Sscan(value, &uploaded)
			if l.pending != "upload" || name != l.of || uploaded > l.new.size {
				l.t.Errorf("there is an upload of %s with %d bytes; what was cut is %q %s of %d", name, uploaded, l.pending, l.of, l.new.size)
			}
		case "drive":
			drive = name
		}
		if ready = verb == "ready"; ready {
			break
		}
	}
	if !ready {
		l.t.Fatalf("the guest does not come up: %v", g.Wait())
	}
	done := false // the pending operation is
	for _, name := range slices.Sorted(maps.Keys(images)) {
		want, ok := l.images[name]
		if !ok && l.pending == "upload" && l.of == name {
			want, ok, done = l.new, true, true
		}
		if !ok || images[name] != want.sum() {
			l.t.Errorf("after %q %s was cut: image %s is there (%v), with other bytes or though it ought not to", l.pending, l.of, name, ok)
		}
	}
	for name := range l.images {
		if images[name] == "" {
			if l.pending != "remove" || l.of != name {
				l.t.Errorf("after %q %s was cut: image %s is gone", l.pending, l.of, name)
			}
			done = true
		}
	}
	if drive != l.drive {
		if l.pending == "connect" && drive == l.of || l.pending == "disconnect" && drive == "" {
			done = true
		} else {
			l.t.Errorf("after %q %s was cut: the drive has %q, want %q", l.pending, l.of, drive, l.drive)
		}
	}
	if done {
		l.did()
	}
	return uploaded
}

// answer reads what the guest says of an operation; false: its power was cut before.
func (l *ledger) answer(g *guest.Guest) bool {
	for line := range g.Lines {
		if text, ok := strings.CutPrefix(line, "did "); ok {
			if text != "<nil>" {
				l.t.Fatalf("%s %s: %s", l.pending, l.of, text)
			}
			l.did()
			return true
		}
	}
	return false
}

// TestPowerCut kills the QEMU of a guest at random instants of uploads, removals,
// connections and disconnections of the program, and compares what its next boot finds.
func TestPowerCut(t *testing.T) {
	guest.Need(t)
	t.Parallel()
	cuts := 2
	if os.Getenv("GONET_LONG") != "" {
		cuts = 40
	}
	disk := filepath.Join(t.TempDir(), "disk")
	if err := errors.Join(os.WriteFile(disk, nil, 0o600), os.Truncate(disk, 96<<20)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(need.Program(t, "mkfs.ext4"), "-q", "-F", disk).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	l := &ledger{t: t, r: rand.New(rand.NewPCG(7, 8)), images: map[string]image{}}
	for cut := range cuts + 1 {
		g := guest.Start(t, guest.Config{Job: "cuts", Network: true, Modules: []string{"virtio_blk", "crc32c_generic", "ext4"},
			QEMU: []string{"-drive", "if=none,id=disk,format=raw,file=" + disk, "-device", "virtio-blk-pci,drive=disk"}})
		if from := l.check(g); l.pending == "upload" { // it goes on
			g.Say(fmt.Sprintf("upload %s %d %d %d", l.of, l.new.seed, l.new.size, max(from, 0)))
			if !l.answer(g) {
				t.Fatalf("the guest has ended: %v", g.Wait())
			}
		}
		l.pending = ""
		for range l.r.IntN(6) {
			g.Say(l.next())
			if !l.answer(g) {
				t.Fatalf("the guest has ended: %v", g.Wait())
			}
		}
		if cut == cuts {
			g.Say("end")
			if err := g.Wait(); err != nil {
				t.Error(err)
			}
			break
		}
		g.Say(l.next())
		time.Sleep(time.Duration(l.r.IntN(300)) * time.Millisecond)
		g.Kill()
		cutShort := !l.answer(g)
		t.Logf("cut %d: during %q of %s: %v; there are %d images, the drive has %q", cut, l.pending, l.of, cutShort, len(l.images), l.drive)
	}
}
