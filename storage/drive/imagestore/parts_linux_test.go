package imagestore

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/testing/need"
)

// mountNamespace runs a test again in a mount namespace of its own, and says whether this is
// that run.
func mountNamespace(t *testing.T) bool {
	t.Helper()
	const inside = "IMAGESTORE_MOUNTS"
	if os.Getenv(inside) != "" {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
	}
	out, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &failed):
		t.Errorf("%s", out)
	default:
		need.Unable(t, "there is no mount namespace to be had: %v", err)
	}
	return false
}

// mount mounts a file system in memory.
func mount(t *testing.T, dir, options string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(dir, 0o700), unix.Mount("tmpfs", dir, "tmpfs", 0, options)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
}

// TestParts has a store on several file systems: each has its room, of which what is full is
// full alone; uploads go to the file system where the image will be; one is read-only, one
// is a directory that is mounted twice, one goes away.
func TestParts(t *testing.T) {
	if !mountNamespace(t) {
		return
	}
	dir := t.TempDir()
	mount(t, dir, "size=40m")
	images := filepath.Join(dir, "images")
	mount(t, filepath.Join(images, "usb"), "size=4m")
	mount(t, filepath.Join(images, "ro"), "size=1m")
	twice := filepath.Join(dir, "twice")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(filepath.Join(images, "ro", "r.img"), []byte("read-only"), 0o600))
	must(unix.Mount("", filepath.Join(images, "ro"), "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	must(errors.Join(os.Mkdir(twice, 0o700), os.Mkdir(filepath.Join(images, "bound"), 0o700)))
	must(unix.Mount(twice, filepath.Join(images, "bound"), "", unix.MS_BIND, ""))
	s := open(t, Config{Dir: dir, SyncEvery: 1 << 20, Quota: 30 << 20})
	parts := func() map[string]Part {
		t.Helper()
		must(s.Refresh())
		state, _ := s.State()
		return state.Parts
	}
	data := make([]byte, 8<<20)
	rand.NewChaCha8([32]byte{}).Read(data)

	first := parts()
	if len(first) != 4 || first[""].Size != 40<<20 || first["usb"].Size != 4<<20 || first["ro"].Writable || !first["usb"].Writable || !first["bound"].Writable {
		t.Fatalf("the parts are %+v", first)
	}
	for _, name := range []string{"main.img", "usb/u.img", "usb/sub/deep/d.iso", "bound/b.img"} {
		must(put(t, s, Upload{Name: name, Size: 1 << 20}, data[:1<<20]))
		file, err := os.ReadFile(filepath.Join(images, name))
		if err != nil || !bytes.Equal(file, data[:1<<20]) {
			t.Errorf("%s has %d bytes, %v", name, len(file), err)
		}
	}
	then := parts()
	if used := first["usb"].Free - then["usb"].Free; used < 2<<20 || used > 5<<19 || then[""].Free >= first[""].Free {
		t.Errorf("two images took %d bytes of a part: %+v, then %+v", used, first, then)
	}
	for name, part := range map[string]string{"main.img": "", "usb/u.img": "usb", "usb/sub/deep/d.iso": "usb", "bound/b.img": "bound", "ro/r.img": "ro"} {
		if i, err := s.Image(name); err != nil || i.Part != part || !i.Complete || i.Removable == (part == "ro") {
			t.Errorf("%s is %+v, %v", name, i, err)
		}
	}

	// No room: at once where the size is known, in the middle where it is not; what is left
	// of it can be removed, and the other parts go on.
	if err := put(t, s, Upload{Name: "usb/big.img", Size: 5 << 20}, nil); !errors.Is(err, ErrFull) {
		t.Errorf("5 MB to a part with 2 MB: %v", err)
	}
	if err := put(t, s, Upload{Name: "usb/big.img", Size: -1}, data[:5<<20]); !errors.Is(err, ErrFull) {
		t.Errorf("as much, announced by nobody: %v", err)
	}
	if i, err := s.Image("usb/big.img"); err != nil || i.Complete {
		t.Errorf("what has come of it is %+v, %v", i, err)
	}
	must(s.Remove("usb/big.img"))
	if err := put(t, s, Upload{Name: "usb/big.img", Size: -1, RemoveIncomplete: true}, data[:5<<20]); !errors.Is(err, ErrFull) {
		t.Errorf("again: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(images, "usb", ".uploads")); err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	must(put(t, s, Upload{Name: "usb/zeroes.img", Size: -1}, make([]byte, 8<<20))) // holes take no room
	must(put(t, s, Upload{Name: "more.img", Size: 5 << 20}, data[:5<<20]))
	if err := put(t, s, Upload{Name: "usb/q.img", Size: 20 << 20}, nil); !errors.Is(err, ErrQuota) {
		t.Errorf("beyond the quota of all parts: %v", err)
	}

	if err := put(t, s, Upload{Name: "ro/x.img", Size: 1}, []byte("x")); !errors.Is(err, ErrReadOnly) {
		t.Errorf("an upload to a part that is read-only: %v", err)
	}
	if err := s.Remove("ro/r.img"); !errors.Is(err, ErrStatic) {
		t.Errorf("a removal there: %v", err)
	}
	m, err := s.Mount("ro/r.img", false)
	must(err)
	text := make([]byte, 9)
	if _, err := m.Disk.ReadAt(text, 0); err != nil && err != io.EOF || string(text) != "read-only" {
		t.Errorf("it is read as %q, %v", text, err)
	}
	must(m.Close())

	// A part that goes while an upload to it is under way: no image, and no hang.
	w, err := s.Write(t.Context(), Upload{Name: "usb/gone.img", Size: 1 << 10})
	must(err)
	_, err = w.Write(data[:1<<10])
	must(err)
	must(unix.Unmount(filepath.Join(images, "usb"), unix.MNT_DETACH))
	if err := w.Finish(); err == nil {
		t.Error("the upload ended well, where its part had gone")
	}
	w.Close()
	if p := parts(); len(p) != 3 {
		t.Errorf("then the parts are %+v", p)
	}
	state, _ := s.State()
	for name, i := range state.Images {
		if i.Part == "usb" || name == "usb/gone.img" {
			t.Errorf("%s is still there: %+v", name, i)
		}
	}
	must(put(t, s, Upload{Name: "usb/back.img", Size: 1}, []byte("x"))) // to the directory below it
}

// TestImagesApart has images be on another file system than the rest of the store, from the
// first or by a mount of the directory onto itself.
func TestImagesApart(t *testing.T) {
	if !mountNamespace(t) {
		return
	}
	for _, bind := range []bool{false, true} {
		dir := t.TempDir()
		images := filepath.Join(dir, "images")
		if bind {
			if err := errors.Join(os.Mkdir(images, 0o700), unix.Mount(images, images, "", unix.MS_BIND, "")); err != nil {
				t.Fatal(err)
			}
		} else {
			mount(t, images, "size=2m")
		}
		s := open(t, Config{Dir: dir})
		if err := put(t, s, Upload{Name: "a.img", Size: 3}, []byte("abc")); err != nil {
			t.Errorf("bind %v: %v", bind, err)
		}
		w, err := s.Write(t.Context(), Upload{Name: "b.img", Size: 3})
		if err != nil {
			t.Fatal(err)
		}
		w.Write([]byte("d"))
		if err := errors.Join(w.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
		again := open(t, Config{Dir: dir})
		if w, err = again.Write(t.Context(), Upload{Name: "b.img", Size: 3, Resume: true, Offset: 1}); err != nil {
			t.Fatal(err)
		}
		_, err = w.Write([]byte("ef"))
		if err := errors.Join(err, w.Finish(), w.Close()); err != nil {
			t.Errorf("bind %v: %v", bind, err)
		}
		if file, err := os.ReadFile(filepath.Join(images, "b.img")); string(file) != "def" {
			t.Errorf("bind %v: the image is %q, %v", bind, file, err)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
		if err := unix.Unmount(images, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}
}

// TestOtherProcess has another process hold images: it writes one, has one mounted, and is
// killed in the middle of an upload, which then goes on here.
func TestOtherProcess(t *testing.T) {
	if dir := os.Getenv("IMAGESTORE_OTHER"); dir != "" {
		s := open(t, Config{Dir: dir})
		m, err := s.Mount("mounted.img", true)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		w, err := s.Write(t.Context(), Upload{Name: "upload.img", Size: 4})
		if err != nil {
			t.Fatal(err)
		}
		w.Write([]byte("ab"))
		if err := w.settle(); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("ready\n")
		select {} // until it is killed
	}
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	if err := put(t, s, Upload{Name: "mounted.img", Size: 4}, []byte("four")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestOtherProcess$")
	cmd.Env = append(os.Environ(), "IMAGESTORE_OTHER="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make([]byte, 6)
	if _, err := io.ReadFull(out, ready); err != nil || string(ready) != "ready\n" {
		rest, _ := io.ReadAll(out)
		t.Fatalf("the other process says %q, %v, %s", ready, err, rest)
	}
	resume := Upload{Name: "upload.img", Size: 4, Resume: true, Offset: 2}
	for what, f := range map[string]func() error{
		"write":     func() error { return put(t, s, Upload{Name: "upload.img", Size: 4, Resume: true}, []byte("abcd")) },
		"go on":     func() error { return put(t, s, resume, []byte("cd")) },
		"remove it": func() error { return s.Remove("upload.img") },
		"remove":    func() error { return s.Remove("mounted.img") },
		"mount":     func() error { _, err := s.Mount("mounted.img", true); return err },
		"read": func() error {
			r, err := s.Read("mounted.img")
			if err == nil {
				r.Close()
			}
			return err
		},
	} {
		if err := f(); !errors.Is(err, ErrBusy) {
			t.Errorf("%s what another process has: %v", what, err)
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	if err := put(t, s, resume, []byte("cd")); err != nil {
		t.Errorf("going on after the other process: %v", err)
	}
	if file, err := os.ReadFile(filepath.Join(dir, "images", "upload.img")); string(file) != "abcd" {
		t.Errorf("the image is %q, %v", file, err)
	}
	if err := s.Remove("mounted.img"); err != nil {
		t.Error(err)
	}
}
