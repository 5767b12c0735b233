package imagestore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Of the watching of the directory by hand.
const (
	watchSettle = 200 * time.Millisecond // changes that come together are looked at once
	watchAnyway = 30 * time.Second       // for what no notice comes of: mounts, space, lost notices
	maxWatches  = 4096
)

// watch keeps the listing as the files are: it looks when the system tells of a change,
// when an operation asks for it, and at times.
func (s *Store) watch(ctx context.Context) {
	defer close(s.done)
	var events chan fsnotify.Event
	var failures chan error
	var watcher *fsnotify.Watcher
	if s.config.tree == nil {
		var err error
		if watcher, err = fsnotify.NewWatcher(); err != nil {
			s.log.Warn("changes made by hand are noticed late", "err", err)
		} else {
			defer watcher.Close()
			events, failures = watcher.Events, watcher.Errors
			s.follow(watcher)
		}
	}
	settle := time.NewTimer(watchSettle) // once: files may have come between the first look and the watch
	defer settle.Stop()
	soon := true
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.rescan:
		case <-events:
		case err := <-failures:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				s.log.Warn("watching the storage", "err", err)
			}
		case <-settle.C:
			soon = false
			if watcher != nil { // first, so that what changes while it looks is told
				s.follow(watcher)
			}
			if err := s.Refresh(); err != nil && !errors.Is(err, ErrClosed) {
				s.log.Warn("the storage cannot be read", "err", err)
			}
			settle.Reset(s.config.anyway)
			continue
		}
		if !soon {
			soon = true
			settle.Reset(watchSettle)
		}
	}
}

// follow watches the directories that there are now; one that is watched already stays.
func (s *Store) follow(w *fsnotify.Watcher) {
	n := 0
	filepath.WalkDir(filepath.Join(s.config.Dir, imagesDir), func(dir string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || !d.IsDir():
			return nil
		case n > 0 && d.Name()[0] == '.', n > maxWatches:
			return fs.SkipDir
		}
		n++
		if err := w.Add(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			s.log.Debug("a directory cannot be watched", "dir", dir, "err", err)
		}
		return nil
	})
}
