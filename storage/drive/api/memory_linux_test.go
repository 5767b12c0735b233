package api

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
)

// resident is the memory of this process in bytes: at present, or the most it ever was.
func resident(t *testing.T, what string) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	var kB int64
	_, after, _ := strings.Cut(string(text), what+":")
	if _, err := fmt.Sscan(after, &kB); err != nil {
		t.Fatal(err)
	}
	return kB << 10
}

// A trickle is a body of random bytes, or of zeroes, that comes in pieces, each after a
// pause.
type trickle struct {
	left  int64
	pause time.Duration
	rand  *rand.ChaCha8
}

func (b *trickle) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(b.pause)
	n := min(int64(len(p)), b.left)
	if b.rand != nil {
		b.rand.Read(p[:n])
	} else {
		clear(p[:n])
	}
	b.left -= n
	return int(n), nil
}

// TestMemory has many slow uploads at a time, and one of zeroes: the memory of all, clients
// included, does not grow with what is uploaded, and the zeroes take no room. With
// GONET_LONG=1 it is 50 uploads of 64 MB and one of 10 GB.
func TestMemory(t *testing.T) {
	uploads, size, zeroes, pause := 50, int64(1<<20), int64(256<<20), time.Millisecond
	dir := ""
	if os.Getenv("GONET_LONG") != "" {
		size, zeroes, pause, dir = 64<<20, 10<<30, 5*time.Millisecond, t.TempDir()
	}
	w := newWorld(t, func(s *imagestore.Config, _ *drive.Config, _ *Config) {
		if dir != "" {
			s.Dir = dir
		}
	})
	if dir == "" {
		dir = w.dir
	}
	runtime.GC()
	debug.FreeOSMemory()
	before, began := resident(t, "VmRSS"), time.Now()
	ended := make(chan struct{})
	most := make(chan int64)
	go func() { // memory at any time: the most ever may be that of another test
		top := before
		for {
			select {
			case <-ended:
				most <- top
				return
			case <-time.After(10 * time.Millisecond):
				top = max(top, resident(t, "VmRSS"))
			}
		}
	}()
	var wg sync.WaitGroup
	upload := func(name string, body *trickle) {
		r, err := http.NewRequest("POST", w.web.URL+"/api/msd/write?image="+name, io.LimitReader(body, body.left))
		if err != nil {
			t.Error(err)
			return
		}
		r.ContentLength = body.left
		answer, err := w.web.Client().Do(r)
		if err != nil {
			t.Error(err)
			return
		}
		defer answer.Body.Close()
		if text, _ := io.ReadAll(answer.Body); answer.StatusCode != 200 {
			t.Errorf("%s: %s", name, text)
		}
	}
	for i := range uploads {
		wg.Go(func() {
			upload(fmt.Sprintf("slow%d.img", i), &trickle{size, pause, rand.NewChaCha8([32]byte{byte(i)})})
		})
	}
	wg.Go(func() { upload("zeroes.img", &trickle{left: zeroes}) })
	wg.Wait()
	close(ended)
	top := <-most
	t.Logf("%d uploads of %d MB and one of %d MB of zeroes in %v: %d MB of memory before, at most %d MB more", uploads, size>>20, zeroes>>20, time.Since(began).Round(time.Second), before>>20, (top-before)>>20)
	if limit := int64(160 << 20); top-before > limit {
		t.Errorf("memory grew by %d MB", (top-before)>>20)
	}
	info, err := os.Stat(filepath.Join(dir, "images", "zeroes.img"))
	if err != nil || info.Size() != zeroes {
		t.Fatalf("%v, %v", info, err)
	}
	if room := info.Sys().(*syscall.Stat_t).Blocks * 512; room > 1<<20 {
		t.Errorf("the zeroes take %d bytes", room)
	}
}
