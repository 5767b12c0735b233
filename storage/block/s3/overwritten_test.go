package s3

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestOverwrittenWhileFetched writes all of a chunk while its object is on its way: what
// comes of that, and when, is of no matter any more.
func TestOverwrittenWhileFetched(t *testing.T) {
	const size = 16 << 10
	for name, c := range map[string]struct {
		get, put time.Duration // how long they take
		fails    bool          // get does
		again    bool          // the chunk is written again, after the checkpoint
	}{
		"while the new one is on its way":         {get: 10 * time.Second, put: 30 * time.Second},
		"when the new one is there":               {get: 30 * time.Second, put: time.Second},
		"when the new one is there, and a change": {get: 30 * time.Second, put: time.Second, again: true},
		"it cannot be had":                        {get: 10 * time.Second, put: time.Second, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bucket := newMemory()
				config := small()
				config.Patience = 20 * time.Second
				first := mustOpen(t, bucket, config)
				if _, err := first.WriteAt(bytes.Repeat([]byte{1}, size), 0); err != nil {
					t.Fatal(err)
				}
				if err := first.Close(); err != nil {
					t.Fatal(err)
				}
				d := mustOpen(t, bucket, config)
				bucket.set(func(what, key string) error {
					switch {
					case !strings.Contains(key, "/c/"):
					case what == "put":
						time.Sleep(c.put)
					case what == "get":
						time.Sleep(c.get)
						if c.fails {
							return errors.New("not today")
						}
					}
					return nil
				}, nil)
				got := make([]byte, 10)
				read := make(chan error)
				go func() {
					_, err := d.ReadAt(got, 0)
					read <- err
				}()
				time.Sleep(time.Second)
				write := func(b byte) {
					if _, err := d.WriteAt(bytes.Repeat([]byte{b}, size), 0); err != nil {
						t.Fatal(err)
					}
				}
				write(2)
				if err := d.Sync(); err != nil {
					t.Fatal(err)
				}
				if c.again {
					write(3)
				}
				// It was asked before the chunk was written: either is right.
				if err := <-read; err != nil || got[0] == 0 || bytes.Count(got, got[:1]) != len(got) {
					t.Errorf("a read that had asked for the object: %v, %v", got, err)
				}
				bucket.set(nil, nil)
				time.Sleep(time.Minute)
				if err := d.Sync(); err != nil {
					t.Fatal(err)
				}
				want := byte(2)
				if c.again {
					want = 3
				}
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				d = mustOpen(t, bucket, config)
				if _, err := d.ReadAt(got, 0); err != nil || got[0] != want {
					t.Errorf("afterwards: %v, %v", got, err)
				}
			})
		})
	}
}
