package drive

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
)

// Config says what a drive is made of. Zero values mean what is said.
type Config struct {
	// Name tells drives of one store apart: a letter, then letters, digits and dashes. It
	// is "drive" if empty.
	Name    string
	Store   *imagestore.Store
	Backend Backend

	// OpenRemote opens what is not in the store: an image by its URL, with further
	// parameters of the client's. Nil refuses all with ErrRemoteDisabled.
	OpenRemote func(ctx context.Context, url string, params map[string]string) (*block.Disk, error)

	Timeout time.Duration // of a call of the backend, and of OpenRemote; 30 s
	Probe   time.Duration // between calls of Prober.Probe; 1 s
	Log     *slog.Logger  // what goes wrong in the background; nowhere if nil
}

// Params are what can be set while a drive is disconnected; nil leaves one as it is.
type Params struct {
	// Image is the name of an image, of the form of imagestore.CleanName, or a URL, and
	// empty for none.
	Image  *string
	Remote map[string]string // further parameters of a URL
	CDROM  *bool
	RW     *bool
	// Overlay has a machine's writes go to a file of the drive's, so that the image stays
	// as it is.
	Overlay *bool
}

// A State is a picture of a drive.
type State struct {
	Name      string
	Online    bool
	Busy      bool
	Connected bool
	Image     *Image // nil if none is selected
	CDROM     bool
	RW        bool
	Overlay   bool
	Traffic   Traffic
}

// An Image is the selected image.
type Image struct {
	imagestore.Image
	Remote bool // Name is a URL
}

// selection is what a drive keeps of its parameters, also on disk.
type selection struct {
	Image     string            `json:"image"`
	Remote    map[string]string `json:"remote,omitempty"` // not nil: Image is a URL
	CDROM     bool              `json:"cdrom"`
	RW        bool              `json:"rw"`
	Overlay   bool              `json:"overlay"`
	Connected bool              `json:"connected"` // machines see it, or were to
}

// A Drive is a virtual drive. Its methods may be called at the same time.
type Drive struct {
	config   Config
	log      *slog.Logger
	requests chan request
	results  chan result
	ejected  chan *medium // a machine has ejected it
	view     chan *view   // holds the view while nobody does
	stop     context.CancelFunc
	done     chan struct{} // closed when run has ended
}

// A request is a call of a user's.
type request struct {
	event  event
	params Params
	answer chan error // of capacity one
}

// A result is what a call of the backend has led to.
type result struct {
	event  event
	medium *medium // what was inserted
	err    error
}

// A view is what State shows.
type view struct {
	state   State
	changed chan struct{}
}

// New makes a drive and starts it. What it held when the program ended, by whatever cause,
// it connects again, unless a machine has ejected it since: see Resumer.
func New(c Config) (*Drive, error) {
	if c.Name == "" {
		c.Name = "drive"
	}
	if !isName(c.Name) {
		return nil, errors.New("drive: a name is a letter, then letters, digits and dashes")
	}
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Probe <= 0 {
		c.Probe = time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	d := &Drive{
		config: c, log: c.Log.With("drive", c.Name), requests: make(chan request), results: make(chan result, 1),
		ejected: make(chan *medium, 1), view: make(chan *view, 1), done: make(chan struct{}),
	}
	var kept selection
	text, err := c.Store.Note(c.Name)
	if err != nil {
		return nil, err
	}
	if text != nil && json.Unmarshal(text, &kept) != nil {
		d.log.Warn("what the drive held cannot be read")
	}
	d.view <- &view{changed: make(chan struct{}), state: State{Name: c.Name, Online: true}}
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	connect := kept.Connected
	if r, ok := c.Backend.(Resumer); ok {
		connect = r.Resume(ctx, connect) && connect
	}
	o := &owner{drive: d, selection: kept, online: true}
	o.machine.selected = kept.Image != ""
	o.selection.Connected = false
	if kept.Connected && !connect {
		o.save()
	}
	if connect {
		o.event(request{event: evConnect}) // so that State never says that it is disconnected
	}
	o.show()
	go o.run(ctx)
	return d, nil
}

func isName(s string) bool {
	return s != "" && len(s) <= 32 && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-')
	}) < 0 && s[0] != '-'
}

// Name is the drive's name.
func (d *Drive) Name() string { return d.config.Name }

// State returns a picture of the drive, and a channel that is closed when there is
// another. Traffic changes without that.
func (d *Drive) State() (State, <-chan struct{}) {
	v := <-d.view
	defer func() { d.view <- v }()
	s := v.state
	if s.Image != nil {
		i := *s.Image
		s.Image = &i
	}
	return s, v.changed
}

// SetParams sets parameters. RW is switched off where it cannot be: for a CD-ROM, and for
// an image that cannot be written. The drive must be disconnected.
func (d *Drive) SetParams(ctx context.Context, p Params) error {
	return d.ask(ctx, request{event: evParams, params: p})
}

// Connect shows the selected image to machines.
func (d *Drive) Connect(ctx context.Context) error { return d.ask(ctx, request{event: evConnect}) }

// Disconnect takes it away. Without force it fails with ErrLocked if a machine does not
// let it go.
func (d *Drive) Disconnect(ctx context.Context, force bool) error {
	e := evDisconnect
	if force {
		e = evForce
	}
	return d.ask(ctx, request{event: e})
}

// Reset disconnects, whatever machines do, and forgets the selected image and all
// parameters.
func (d *Drive) Reset(ctx context.Context) error { return d.ask(ctx, request{event: evReset}) }

// ask passes a request to the owner. An operation that has begun goes on when the context
// ends before it.
func (d *Drive) ask(ctx context.Context, r request) error {
	r.answer = make(chan error, 1)
	select {
	case d.requests <- r:
	case <-d.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.answer:
		return err
	case <-d.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close takes the medium away from machines and ends the drive and its backend. The next
// drive of this name connects again what this one held.
func (d *Drive) Close() error {
	d.stop()
	<-d.done
	return d.config.Backend.Close()
}
