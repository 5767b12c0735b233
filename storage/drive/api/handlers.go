package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
)

func (s *Server) state(d *drive.Drive) stateJSON {
	drive, _ := d.State()
	store, _ := s.config.Store.State()
	return makeState(drive, store)
}

func (s *Server) getState(r *request) (any, error) {
	d, err := s.drive(r)
	if err != nil {
		return nil, err
	}
	return s.state(d), nil
}

func (s *Server) drives(*request) (any, error) {
	all := map[string]any{}
	for _, d := range s.config.Drives {
		state, _ := d.State()
		all[d.Name()] = struct {
			stateJSON
			Traffic trafficJSON `json:"traffic"`
		}{s.state(d), makeTraffic(state.Traffic)}
	}
	return all, nil
}

func (s *Server) setParams(r *request) (any, error) {
	d, err := s.drive(r)
	if err != nil {
		return nil, err
	}
	var p drive.Params
	flag := func(name string) *bool {
		if b, ok := r.flags[name]; ok {
			return &b
		}
		return nil
	}
	p.CDROM, p.RW, p.Overlay = flag("cdrom"), flag("rw"), flag("overlay")
	if name, ok := r.names["image"]; ok {
		p.Image = &name
		if isRemote(name) {
			p.Remote = map[string]string{}
			for k, v := range r.query {
				switch k {
				case "drive", "image", "cdrom", "rw", "overlay":
				default:
					p.Remote[k] = v[0]
				}
			}
		}
	}
	return nil, d.SetParams(r.context(), p)
}

func (s *Server) setConnected(r *request) (any, error) {
	d, err := s.drive(r)
	if err != nil {
		return nil, err
	}
	if r.flags["connected"] {
		return nil, d.Connect(r.context())
	}
	return nil, d.Disconnect(r.context(), r.flags["force"])
}

func (s *Server) reset(r *request) (any, error) {
	d, err := s.drive(r)
	if err != nil {
		return nil, err
	}
	return nil, d.Reset(r.context())
}

func (s *Server) remove(r *request) (any, error) {
	return nil, s.config.Store.Remove(r.names["image"])
}

// read sends an image, by http.ServeContent, which knows ranges and conditions.
func (s *Server) read(r *request) (any, error) {
	f, err := s.config.Store.Read(r.names["image"])
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r.w = &patient{ResponseWriter: r.w, control: http.NewResponseController(r.w), idle: s.config.Idle}
	h := r.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	name := f.Image.Name
	if mode := r.names["compress"]; mode != "" && mode != "none" {
		return streamed{}, sendCompressed(r.w, f, name, mode)
	}
	attach(h, name)
	h.Set("ETag", fmt.Sprintf(`"%x-%x"`, f.Image.Size, f.Image.Modified.UnixNano()))
	http.ServeContent(r.w, r.http, "", f.Image.Modified, f)
	return streamed{}, nil
}

// attach has a browser save what comes under a name.
func attach(h http.Header, name string) {
	h.Set("Content-Disposition", "attachment; filename*=UTF-8''"+url.PathEscape(name))
}

// writtenJSON is how far an upload is.
type writtenJSON struct {
	Image struct {
		Name    string `json:"name"`
		Size    int64  `json:"size"`
		Written int64  `json:"written"`
	} `json:"image"`
}

func makeWritten(name string, size, written int64) (j writtenJSON) {
	j.Image.Name, j.Image.Size, j.Image.Written = name, size, written
	return j
}

// write takes an image from the body.
func (s *Server) write(r *request) (any, error) {
	u, err := uploadOf(r)
	if err != nil {
		return nil, err
	}
	if r.flags["begin"] {
		return s.beginWrite(r, u)
	}
	u.Offset, u.Resume = r.ints["offset"], r.has("offset")
	leave, err := s.unpacks(r.names["compressed"])
	if err != nil {
		return nil, err
	}
	defer leave()
	body, packed, err := unpack(&slowBody{r.http.Body, http.NewResponseController(r.w), s.config.Idle}, r.names["compressed"])
	if err != nil {
		return nil, badField("body", "%v", err)
	}
	defer body.Close()
	switch size, given := r.ints["size"]; {
	case given:
		u.Size = size
	case packed:
		u.Size = -1
	case r.http.ContentLength < 0:
		return nil, badField("Content-Length", "the header is missing, and so is the argument size")
	default:
		u.Size = u.Offset + r.http.ContentLength
	}
	if packed && u.Resume && u.Offset > 0 {
		return nil, badField("offset", "an upload that is unpacked on the way cannot go on in the middle")
	}
	w, err := s.config.Store.Write(r.context(), u)
	if err != nil {
		return nil, err
	}
	err = copyBody(w, body)
	if err == nil {
		err = w.Finish()
	}
	written := w.Offset()
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	return makeWritten(u.Name, written, written), nil
}

// beginWrite reserves room for an upload whose bytes come later, and tells how many have come
// before. So a client learns why an upload is refused without sending it: most get no
// answer before they have sent a whole body.
func (s *Server) beginWrite(r *request, u imagestore.Upload) (any, error) {
	size, given := r.ints["size"]
	if !given {
		return nil, badField("size", "the argument is missing: want the bytes of the whole image")
	}
	state, _ := s.config.Store.State()
	u.Size, u.Resume, u.Offset, u.RemoveIncomplete = size, true, state.Uploads[u.Name].Done, false
	w, err := s.config.Store.Write(r.context(), u)
	if err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return makeWritten(u.Name, size, u.Offset), nil
}

// uploadOf has what the parameters of both calls that write have in common.
func uploadOf(r *request) (imagestore.Upload, error) {
	name, err := cleanName("image", r.query.Get("prefix")+"/"+r.names["image"])
	return imagestore.Upload{Name: name, SHA256: r.names["sha256"], RemoveIncomplete: r.flags["remove_incomplete"]}, err
}

// copySize is what is read from a body at once.
const copySize = 256 << 10

// copyBody writes what comes. What has come before an error is written.
func copyBody(w *imagestore.Writer, body io.Reader) error {
	buf := make([]byte, copySize)
	for {
		n, err := fill(body, buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
		}
		switch err {
		case nil:
		case io.EOF:
			return nil
		default:
			return fmt.Errorf("%w: the body has broken off: %w", imagestore.ErrSize, err)
		}
	}
}

// fill is io.ReadFull that returns the error of the reader, whatever came before it.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}

// overlayOf is the image whose overlay is meant, and the drive's name.
func (s *Server) overlayOf(r *request) (drive, image string, err error) {
	d, err := s.drive(r)
	if err != nil {
		return "", "", err
	}
	return d.Name(), r.names["image"], nil
}

func (s *Server) discardOverlay(r *request) (any, error) {
	drive, image, err := s.overlayOf(r)
	if err != nil {
		return nil, err
	}
	return nil, s.config.Store.DiscardOverlay(drive, image)
}

func (s *Server) commitOverlay(r *request) (any, error) {
	drive, image, err := s.overlayOf(r)
	if err != nil {
		return nil, err
	}
	b, err := s.jobs.start(r.user, "commit", image, func(ctx context.Context, b *job) error {
		return s.config.Store.CommitOverlay(ctx, drive, image, func(done, size int64) {
			b.done.Store(done)
			b.size.Store(size)
		})
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"job": b.number}, nil
}
