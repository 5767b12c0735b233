package api

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
)

// callCounts count the calls of one kind.
type callCounts struct{ done, refused atomic.Uint64 }

// metrics answers in Prometheus' text format, version 0.0.4.
func (s *Server) metrics(r *request) (any, error) {
	h := r.w.Header()
	h.Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	s.writeMetrics(r.w)
	return streamed{}, nil
}

func (s *Server) writeMetrics(w io.Writer) {
	head := func(name, kind, help string) {
		fmt.Fprintf(w, "# HELP gonet_drive_%s %s\n# TYPE gonet_drive_%s %s\n", name, help, name, kind)
	}
	value := func(name, labels string, v any) { fmt.Fprintf(w, "gonet_drive_%s%s %v\n", name, labels, v) }
	bit := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	store, _ := s.config.Store.State()
	var size int64
	for _, i := range store.Images {
		size += i.Size
	}
	active := 0
	for _, u := range store.Uploads {
		active += bit(u.Active)
	}
	for _, g := range []struct {
		name, help string
		value      any
	}{
		{"store_online", "1 if the storage can be read.", bit(store.Online)},
		{"images", "Images in the storage, incomplete ones included.", len(store.Images)},
		{"images_bytes", "Their size.", size},
		{"uploads_active", "Uploads under way.", active},
		{"uploads_waiting", "Uploads that were interrupted and can go on.", len(store.Uploads) - active},
		{"calls_active", "Calls under way, WebSockets included.", len(s.places)},
	} {
		head(g.name, "gauge", g.help)
		value(g.name, "", g.value)
	}
	parts := slices.Sorted(maps.Keys(store.Parts))
	head("part_size_bytes", "gauge", "Size of a part of the storage.")
	for _, p := range parts {
		value("part_size_bytes", label("part", p), store.Parts[p].Size)
	}
	head("part_free_bytes", "gauge", "Room left in a part of the storage.")
	for _, p := range parts {
		value("part_free_bytes", label("part", p), store.Parts[p].Free)
	}
	s.driveMetrics(head, value, bit)
	head("calls_total", "counter", "Calls by what became of them.")
	for i := range s.calls {
		c := &s.calls[i]
		value("calls_total", label("call", c.path, "method", c.method, "ok", "true"), s.counts[i].done.Load())
		value("calls_total", label("call", c.path, "method", c.method, "ok", "false"), s.counts[i].refused.Load())
	}
}

// driveMetrics tells of each drive.
func (s *Server) driveMetrics(head func(name, kind, help string), value func(name, labels string, v any), bit func(bool) int) {
	type column struct {
		name, kind, help string
		of               func(d *driveMetric) any
	}
	var all []*driveMetric
	for _, d := range s.config.Drives {
		state, _ := d.State()
		all = append(all, &driveMetric{d.Name(), bit(state.Online), bit(state.Connected), makeTraffic(state.Traffic)})
	}
	for _, c := range []column{
		{"online", "gauge", "1 if the drive is there.", func(d *driveMetric) any { return d.online }},
		{"connected", "gauge", "1 if machines see a medium in the drive.", func(d *driveMetric) any { return d.connected }},
		{"reads_total", "counter", "Reads of machines since the medium was inserted.", func(d *driveMetric) any { return d.traffic.Reads }},
		{"read_bytes_total", "counter", "Bytes of these.", func(d *driveMetric) any { return d.traffic.ReadBytes }},
		{"writes_total", "counter", "Writes of machines since the medium was inserted.", func(d *driveMetric) any { return d.traffic.Writes }},
		{"written_bytes_total", "counter", "Bytes of these.", func(d *driveMetric) any { return d.traffic.WrittenBytes }},
	} {
		head(c.name, c.kind, c.help)
		for _, d := range all {
			value(c.name, label("drive", d.name), c.of(d))
		}
	}
}

type driveMetric struct {
	name              string
	online, connected int
	traffic           trafficJSON
}

// label writes labels: names and values in turn.
func label(pairs ...string) string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	var all []string
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, pairs[i]+`="`+escape.Replace(pairs[i+1])+`"`)
	}
	return "{" + strings.Join(all, ",") + "}"
}

// document answers with the OpenAPI document.
func (s *Server) document(r *request) (any, error) {
	r.w.Header().Set("Content-Type", "application/json; charset=utf-8")
	r.w.WriteHeader(http.StatusOK)
	r.w.Write(OpenAPI())
	return streamed{}, nil
}
