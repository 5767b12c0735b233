package api

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
)

// The state as clients see it. What PiKVM has not stands last in each.
type (
	stateJSON struct {
		Enabled bool         `json:"enabled"`
		Online  bool         `json:"online"`
		Busy    bool         `json:"busy"`
		Drive   *driveJSON   `json:"drive"`
		Storage *storageJSON `json:"storage"`
	}
	driveJSON struct {
		Image     *selectedJSON `json:"image"`
		Connected bool          `json:"connected"`
		CDROM     bool          `json:"cdrom"`
		RW        bool          `json:"rw"`

		Name    string `json:"name"`
		Overlay bool   `json:"overlay"`
	}
	selectedJSON struct {
		Name      string `json:"name"`
		InStorage bool   `json:"in_storage"`
		imageJSON
	}
	imageJSON struct {
		Size      int64   `json:"size"`
		Modified  float64 `json:"mod_ts"` // seconds since 1970
		Complete  bool    `json:"complete"`
		Removable bool    `json:"removable"`
		Writable  bool    `json:"writable"`

		Type   string `json:"type"`
		SHA256 string `json:"sha256,omitempty"`
	}
	partJSON struct {
		Size     int64 `json:"size"`
		Free     int64 `json:"free"`
		Writable bool  `json:"writable"`
	}
	uploadJSON struct {
		Name    string `json:"name"`
		Size    int64  `json:"size"`
		Written int64  `json:"written"`
		Active  bool   `json:"active"` // else it can go on
	}
	downloadJSON struct {
		Name string `json:"name"`
		Size int64  `json:"size"`
		Read int64  `json:"readed"` // PiKVM's spelling
	}
	storageJSON struct {
		Images      map[string]imageJSON `json:"images"`
		Parts       map[string]partJSON  `json:"parts"`
		Downloading *downloadJSON        `json:"downloading"` // one of Downloads
		Uploading   *uploadJSON          `json:"uploading"`   // one of Uploads that is active

		Downloads map[string]downloadJSON `json:"downloads"`
		Uploads   map[string]uploadJSON   `json:"uploads"`
	}
	trafficJSON struct {
		Reads        uint64 `json:"reads"`
		ReadBytes    uint64 `json:"read_bytes"`
		Writes       uint64 `json:"writes"`
		WrittenBytes uint64 `json:"written_bytes"`
	}
)

// makeState is the state of a drive and the store.
func makeState(d drive.State, s imagestore.State) stateJSON {
	state := stateJSON{Enabled: true, Online: d.Online && s.Online, Busy: d.Busy}
	if !state.Online {
		return state
	}
	state.Drive = &driveJSON{Connected: d.Connected, CDROM: d.CDROM, RW: d.RW, Name: d.Name, Overlay: d.Overlay}
	if d.Image != nil && (d.Connected || d.Image.Remote || known(s, d.Image.Name)) { // of one just removed the drive learns a moment later
		state.Drive.Image = &selectedJSON{Name: d.Image.Name, InStorage: !d.Image.Remote, imageJSON: makeImage(d.Image.Image)}
	}
	state.Storage = makeStorage(s)
	return state
}

func known(s imagestore.State, name string) bool {
	_, ok := s.Images[name]
	return ok
}

func makeImage(i imagestore.Image) imageJSON {
	j := imageJSON{Size: i.Size, Complete: i.Complete, Removable: i.Removable, Writable: i.Writable, Type: i.Type, SHA256: i.SHA256}
	if !i.Modified.IsZero() {
		j.Modified = float64(i.Modified.UnixMicro()) / float64(time.Second/time.Microsecond)
	}
	return j
}

func makeStorage(s imagestore.State) *storageJSON {
	j := &storageJSON{Images: map[string]imageJSON{}, Parts: map[string]partJSON{}, Downloads: map[string]downloadJSON{}, Uploads: map[string]uploadJSON{}}
	for name, i := range s.Images {
		j.Images[name] = makeImage(i)
	}
	for name, p := range s.Parts {
		j.Parts[name] = partJSON(p)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Uploads)) {
		t := s.Uploads[name]
		u := uploadJSON{Name: name, Size: t.Size, Written: t.Done, Active: t.Active}
		j.Uploads[name] = u
		if u.Active && j.Uploading == nil {
			j.Uploading = &u
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Downloads)) {
		t := s.Downloads[name]
		d := downloadJSON{Name: name, Size: t.Size, Read: t.Done}
		j.Downloads[name] = d
		if j.Downloading == nil {
			j.Downloading = &d
		}
	}
	return j
}

func makeTraffic(t drive.Traffic) trafficJSON {
	var j trafficJSON
	j.Reads, j.ReadBytes = t.Reads()
	j.Writes, j.WrittenBytes = t.Writes()
	return j
}

// diff is what an event says of a change: all, if the drive went or came; else busy,
// drive, and the parts of storage, each of which is whole.
func diff(old, now stateJSON) map[string]any {
	if old.Online != now.Online || now.Storage == nil || old.Storage == nil {
		if reflect.DeepEqual(old, now) {
			return nil
		}
		return map[string]any{"enabled": now.Enabled, "online": now.Online, "busy": now.Busy, "drive": now.Drive, "storage": now.Storage}
	}
	changes := map[string]any{}
	differ := func(to map[string]any, name string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			to[name] = b
		}
	}
	differ(changes, "busy", old.Busy, now.Busy)
	differ(changes, "drive", old.Drive, now.Drive)
	storage := map[string]any{}
	a, b := old.Storage, now.Storage
	differ(storage, "images", a.Images, b.Images)
	differ(storage, "parts", a.Parts, b.Parts)
	differ(storage, "downloading", a.Downloading, b.Downloading)
	differ(storage, "uploading", a.Uploading, b.Uploading)
	differ(storage, "downloads", a.Downloads, b.Downloads)
	differ(storage, "uploads", a.Uploads, b.Uploads)
	if len(storage) > 0 {
		changes["storage"] = storage
	}
	if len(changes) == 0 {
		return nil
	}
	return changes
}
