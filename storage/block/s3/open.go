package s3

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// Open opens a disk. It waits, as long as the context allows, for a server that does
// not answer. What the journal has and the bucket has not is uploaded before it
// returns.
func Open(ctx context.Context, c Config) (*Disk, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	o, idle, err := c.connect()
	if err != nil {
		return nil, err
	}
	d, err := open(ctx, o, c)
	if err != nil {
		idle()
		return nil, err
	}
	d.idle = idle
	return d, nil
}

// A found is what there is of a disk before it is opened.
type found struct {
	manifest manifest
	etag     string
	age      time.Duration // of the manifest
	journal  bool          // one is given
	layout   layout        // of the journal, if it has one
	known    bool          // it has
	records  bool          // there are some
	unclean  bool          // the last writer did not close the disk
}

// A plan is how a disk is opened for writing.
type plan struct {
	replay bool // the journal is the last writer's
	format bool // the journal is made anew
}

// plan decides whether and how the disk may be opened for writing.
func (f found) plan(takeOver bool) (p plan, err error) {
	m := f.manifest
	ours := f.known && f.layout.disk == m.Disk && f.layout.id.String() == m.Journal
	switch {
	case f.known && !ours && f.records:
		return p, fmt.Errorf("%w: it has changes of %s, and this is disk %s, whose last writer had the journal %q; if they are to be given up, delete it",
			ErrJournal, f.layout.disk, m.Disk, m.Journal)
	case m.Owner != "" && !ours:
		lease := time.Duration(m.Lease) * time.Second
		if f.age <= lease {
			return p, fmt.Errorf("%w: %s writes to it, and was heard of %v ago; it is given up after %v", ErrHeld, m.who(), f.age, lease)
		}
		if m.Journal != "" && !takeOver {
			return p, fmt.Errorf("%w: %s was heard of %v ago, and has the journal %s: open it with that, or take it over, which gives up what is in that journal only",
				ErrNotClosed, m.who(), f.age, m.Journal)
		}
	}
	return plan{replay: ours && m.Owner != "", format: f.journal && !ours}, nil
}

// open is Open of objects.
func open(ctx context.Context, objects objects, c Config) (*Disk, error) {
	f := found{journal: c.Journal != nil && !c.ReadOnly}
	if err := f.readJournal(c.Journal); err != nil {
		return nil, err
	}
	pauses := schedule{rand: rand.New(c.Rand)}
	retry := func(f func(ctx context.Context) error) error { return pauses.insist(ctx, c.Timeout, f) }
	if err := retry(func(ctx context.Context) error { return f.readManifest(ctx, objects, c) }); err != nil {
		return nil, err
	}
	p := plan{}
	if !c.ReadOnly {
		var err error
		if p, err = f.plan(c.TakeOver); err != nil {
			return nil, err
		}
		if p, err = f.prepareJournal(c, p); err != nil {
			return nil, err
		}
		if err := retry(func(ctx context.Context) error { return f.takeLease(ctx, objects, c, p) }); err != nil {
			return nil, err
		}
	}
	index := newIndex()
	if err := loadIndex(ctx, objects, c, f.manifest, index, retry); err != nil {
		return nil, err
	}
	d := start(objects, c, f, p, index)
	if p.replay {
		if err := d.replay(ctx, f); err != nil {
			d.stop()
			return nil, err
		}
	}
	return d, nil
}

// A final error is one that another attempt does not mend.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// insist calls f until it succeeds, fails for good, or the context ends.
func (s *schedule) insist(ctx context.Context, timeout time.Duration, f func(ctx context.Context) error) error {
	j := &job{}
	for {
		attempt, cancel := context.WithTimeout(ctx, timeout)
		err := f(attempt)
		cancel()
		var isFinal final
		switch {
		case err == nil:
			return nil
		case errors.As(err, &isFinal):
			return isFinal.error
		case errors.Is(err, errRefused):
			return fmt.Errorf("s3: %w", err)
		case ctx.Err() != nil:
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		s.retry(j, time.Now())
		t := time.NewTimer(time.Until(s.deadline()))
		s.later = nil
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// readJournal looks what the journal has.
func (f *found) readJournal(dev block.Device) error {
	if !f.journal {
		return nil
	}
	size, err := dev.Size()
	if err != nil {
		return err
	}
	header := make([]byte, journalHeader)
	if size < journalHeader {
		return nil
	}
	if _, err := dev.ReadAt(header, 0); err != nil {
		return err
	}
	if f.layout, err = decodeLayout(header, size); err != nil {
		return nil // it was never used
	}
	f.known = true
	var buf []byte
	for area := range 2 {
		_, _, ok, err := f.layout.read(dev, f.layout.start(area), f.layout.start(area+1), &buf)
		if err != nil {
			return err
		}
		f.records = f.records || ok
	}
	return nil
}

// readManifest reads the manifest, or makes one.
func (f *found) readManifest(ctx context.Context, all objects, c Config) error {
	read := getManifest
	if c.ReadOnly { // which replaces nothing, so that the ETag does not matter
		read = func(ctx context.Context, o objects, disk string) (object, error) {
			return o.get(ctx, manifestKey(disk), manifestMost)
		}
	}
	got, err := read(ctx, all, c.Name)
	if errors.Is(err, errNotFound) {
		if !c.Create || c.ReadOnly {
			return final{fmt.Errorf("%w: %s in the bucket %s", ErrNoDisk, c.Name, c.Bucket)}
		}
		m := manifest{Format: manifestFormat, Disk: newID().String(), Size: c.Size, Chunk: c.Chunk, Lease: int64(c.Lease / time.Second)}
		b, err := m.encode()
		if err != nil {
			return final{err}
		}
		if _, err := all.put(ctx, manifestKey(c.Name), b, absent); err != nil && !errors.Is(err, errCondition) {
			return err
		}
		got, err = getManifest(ctx, all, c.Name) // whoever made it
		if err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	m, err := decodeManifest(got.data)
	if err != nil {
		return final{fmt.Errorf("s3: %s: %w", c.Name, err)}
	}
	f.manifest, f.etag, f.age = m, got.etag, got.age
	return nil
}

// prepareJournal formats the journal if the plan says so.
func (f *found) prepareJournal(c Config, p plan) (plan, error) {
	if !f.journal {
		return p, nil
	}
	size, err := c.Journal.Size()
	if err != nil {
		return p, err
	}
	need := int64(max(f.manifest.Chunk+recordHeader, smallestArea))
	area := (size - journalHeader) / 2
	if area < need {
		return p, fmt.Errorf("%w: it has %d bytes, and needs %d", ErrJournal, size, 2*need+journalHeader)
	}
	if !p.replay && f.layout.area != area {
		p.format = true
	}
	if !p.format {
		return p, nil
	}
	f.layout = layout{id: newID(), disk: f.manifest.Disk, area: area}
	if _, err := c.Journal.WriteAt(f.layout.encode(), 0); err != nil {
		return p, err
	}
	return p, c.Journal.Sync()
}

// takeLease makes this the writer: from then on every other one fails.
func (f *found) takeLease(ctx context.Context, objects objects, c Config, p plan) error {
	m := f.manifest
	f.unclean = m.Owner != ""
	m.Epoch++
	m.Sequence++
	m.Owner, m.Lease, m.Journal = c.Owner, int64(c.Lease/time.Second), ""
	if f.journal {
		m.Journal = f.layout.id.String()
	}
	if !p.replay {
		m.Floor = m.Epoch
	}
	if m.Epoch == 0 {
		return final{errors.New("s3: the disk was opened too often")}
	}
	etag, err := replaceManifest(ctx, objects, c.Name, m, f.etag)
	if errors.Is(err, ErrLost) {
		return final{fmt.Errorf("%w: somebody was faster (%v)", ErrHeld, err)}
	}
	if err == nil {
		f.manifest, f.etag = m, etag
	}
	return err
}

// loadIndex reads all pages, some at a time.
func loadIndex(ctx context.Context, objects objects, c Config, m manifest, x *index, retry func(func(context.Context) error) error) error {
	type result struct {
		number int64
		page   *page
		err    error
	}
	numbers := slices.Sorted(maps.Keys(m.Pages))
	for len(numbers) > 0 {
		some := numbers[:min(len(numbers), c.Parallel)]
		numbers = numbers[len(some):]
		results := make(chan result, len(some))
		for _, n := range some {
			go func() {
				p, err := loadPage(ctx, objects, c, n, m.Pages[n])
				results <- result{n, p, err}
			}()
		}
		for range some {
			r := <-results
			if r.err != nil { // again, alone
				r.err = retry(func(ctx context.Context) (err error) {
					r.page, err = loadPage(ctx, objects, c, r.number, m.Pages[r.number])
					return err
				})
			}
			if r.err != nil {
				return r.err
			}
			x.pages[r.number] = r.page
		}
	}
	return nil
}

func loadPage(ctx context.Context, objects objects, c Config, n int64, v version) (*page, error) {
	got, err := objects.get(ctx, pageKey(c.Name, n, v), pageHeader+pageChunks*entrySize)
	if errors.Is(err, errNotFound) {
		return nil, final{fmt.Errorf("%w: %w", ErrChanged, err)}
	}
	if err != nil {
		return nil, err
	}
	p, err := decodePage(got.data, n)
	if err != nil {
		return nil, err
	}
	p.object = v
	return p, nil
}

// replay makes the changes that the journal has and the bucket has not, and uploads
// them.
func (d *Disk) replay(ctx context.Context, f found) error {
	from := place{f.manifest.Applied, f.manifest.Floor}
	if _, err := f.layout.scan(d.config.Journal, from, func(rec record, data []byte) error {
		return d.do(ctx, &request{op: opReplay, record: rec, p: data})
	}); err != nil {
		return err
	}
	return d.do(ctx, &request{op: opReplayed})
}
