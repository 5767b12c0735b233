package imagestore

import (
	"encoding/json"
	"io/fs"
	"path"
	"time"
)

// metadata is what was found out about an image and need not be found out again. It holds
// as long as the image has the size and the time that it had then; so it is of no
// consequence whether a power cut takes it.
type metadata struct {
	Name     string    `json:"name"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	Type     string    `json:"type"`
	SHA256   string    `json:"sha256,omitempty"`
	Added    time.Time `json:"added"`
}

func metadataFile(name string) string { return path.Join(metadataDir, fileID(name)+".json") }

// metadata returns what is known of an image, and looks into the image if nothing is.
func (s *Store) metadata(name string, info fs.FileInfo) metadata {
	var m metadata
	text, err := readSmall(s.tree, metadataFile(name), 1<<16)
	if err == nil && json.Unmarshal(text, &m) == nil && m.Name == name && m.Size == info.Size() && m.Modified.Equal(info.ModTime()) {
		return m
	}
	m = metadata{Name: name, Size: info.Size(), Modified: info.ModTime(), Type: TypeOf(name, s.head(name)), Added: time.Now()}
	s.note(m, false)
	return m
}

// note keeps metadata. Without durable a power cut may leave a torn file, which says
// nothing.
func (s *Store) note(m metadata, durable bool) {
	text, err := json.Marshal(m)
	if err == nil {
		err = write(s.tree, metadataFile(m.Name), text, durable)
	}
	if err != nil {
		s.log.Warn("metadata cannot be written", "image", m.Name, "err", err)
	}
}

// forget removes the metadata of an image that is gone.
func (s *Store) forget(name string) { s.tree.Remove(metadataFile(name)) }
