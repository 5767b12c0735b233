package drive

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
)

// nowhere is a Backend that nobody looks at.
type nowhere struct {
	insert, eject error
	drive         *Drive
	view          chan *view // if not nil, who calls takes the picture of the drive, and puts it there
}

func (b *nowhere) Insert(context.Context, Medium) error {
	b.take()
	return b.insert
}

func (b *nowhere) Eject(_ context.Context, force bool) error {
	b.take()
	if force {
		return nil
	}
	return b.eject
}

func (b *nowhere) take() {
	if b.view == nil {
		return
	}
	for {
		if state, changed := b.drive.State(); state.Busy {
			break
		} else {
			<-changed
		}
	}
	b.view <- <-b.drive.view
}

func (b *nowhere) Close() error { return nil }

// storeOfOne is a store with one image, a.img.
func storeOfOne(t *testing.T) *imagestore.Store {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "images"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "images", "a.img"), []byte("image"), 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := imagestore.Open(imagestore.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// TestAnswerAfterView has every call come to its end while the picture of the drive cannot
// be changed: none is answered, since whoever has the answer must see in State what he has
// done.
func TestAnswerAfterView(t *testing.T) {
	type does func(ctx context.Context, d *Drive) error
	text := func(s string) does {
		return func(ctx context.Context, d *Drive) error { return d.SetParams(ctx, Params{Image: &s}) }
	}
	set, unset := text("a.img"), text("")
	connect := func(ctx context.Context, d *Drive) error { return d.Connect(ctx) }
	disconnect := func(force bool) does {
		return func(ctx context.Context, d *Drive) error { return d.Disconnect(ctx, force) }
	}
	reset := func(ctx context.Context, d *Drive) error { return d.Reset(ctx) }
	for name, c := range map[string]struct {
		before  []does
		backend nowhere
		call    does
		calls   bool // the backend
		fails   bool
	}{
		"select":             {nil, nowhere{}, set, false, false},
		"select, unknown":    {nil, nowhere{}, text("b.img"), false, true},
		"unselect":           {[]does{set}, nowhere{}, unset, false, false},
		"connect":            {[]does{set}, nowhere{}, connect, true, false},
		"connect, refused":   {nil, nowhere{}, connect, false, true},
		"connect, fails":     {[]does{set}, nowhere{insert: ErrPermission}, connect, true, true},
		"disconnect":         {[]does{set, connect}, nowhere{}, disconnect(false), true, false},
		"disconnect, locked": {[]does{set, connect}, nowhere{eject: ErrLocked}, disconnect(false), true, true},
		"disconnect, forced": {[]does{set, connect}, nowhere{eject: ErrLocked}, disconnect(true), true, false},
		"reset":              {[]does{set, connect}, nowhere{}, reset, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := storeOfOne(t)
			d, err := New(Config{Store: store, Backend: &c.backend})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			for _, f := range c.before {
				if err := f(t.Context(), d); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(10 * time.Millisecond) // the drive has time to come to rest: a fault would not show else
			done, taken := make(chan error, 1), make(chan *view, 1)
			if c.calls {
				c.backend.drive, c.backend.view = d, taken
			} else {
				taken <- <-d.view
			}
			go func() { done <- c.call(t.Context(), d) }()
			view := <-taken
			select {
			case err := <-done:
				t.Errorf("the answer (%v) was there before the picture", err)
				done <- err
			case <-time.After(20 * time.Millisecond): // one that is slower shows no fault that there is
			}
			c.backend.view = nil
			d.view <- view
			if err := <-done; (err != nil) != c.fails {
				t.Errorf("the answer is %v", err)
			}
		})
	}
}
