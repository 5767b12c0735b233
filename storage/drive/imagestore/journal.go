package imagestore

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"strings"
	"time"
)

// A journal is the file beside the data of an upload that says what it will be and how
// much of it is durable: lines of JSON, the first of them a journalHead, the others
// journalMarks. A line is appended when what it says holds, so whatever a power cut leaves
// of the file is true; a torn last line is ignored.
type journal struct {
	file treeFile
	size int64 // bytes of the file
	journalHead
	journalMark // the last one
}

type journalHead struct {
	Name    string    `json:"name"`
	Size    int64     `json:"size"`             // -1: not known
	SHA256  string    `json:"sha256,omitempty"` // what the client says it must be
	Started time.Time `json:"started"`
}

type journalMark struct {
	Offset int64  `json:"offset"`         // so many bytes from the start are durable
	Hash   []byte `json:"hash,omitempty"` // the state of SHA-256 over them
}

// maxJournal bounds what is read of one: the mark at 1 MB of each of some millions.
const maxJournal = 64 << 20

// fileID is the name under which the store keeps what belongs to an image: names have
// characters and lengths that file names have not.
func fileID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}

// createJournal makes one durably. It is locked before it has its name, so that nobody
// takes it for one that was left. Another process that begins may take it for that before
// it is locked: then it is made again.
func createJournal(t tree, dir string, head journalHead) (j *journal, err error) {
	for range 10 {
		if j, err = tryCreateJournal(t, dir, head); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return j, err
}

func tryCreateJournal(t tree, dir string, head journalHead) (*journal, error) {
	file, temporary := path.Join(dir, fileID(head.Name)+".journal"), temporaryName(dir)
	f, err := t.Create(temporary)
	if err != nil {
		return nil, err
	}
	j := &journal{file: f, journalHead: head}
	err = f.Lock(true)
	if err == nil {
		err = j.append(head)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = t.Rename(temporary, file)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), t.Remove(temporary))
	}
	if err := t.SyncDir(dir); err != nil {
		return nil, errors.Join(err, f.Close(), t.Remove(file))
	}
	return j, nil
}

// openJournal opens one to go on with its upload; the file is locked.
func openJournal(t tree, dir, name string) (*journal, error) {
	file := path.Join(dir, fileID(name)+".journal")
	f, err := t.Open(file, true)
	if err != nil {
		return nil, err
	}
	if err := f.Lock(true); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	j, err := readJournal(t, file)
	if err == nil && j.Name != name {
		err = errJournal
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	j.file = f
	return j, nil
}

var errJournal = errors.New("imagestore: the journal of an upload cannot be read")

// readJournal reads one without a lock.
func readJournal(t tree, file string) (*journal, error) {
	text, err := readSmall(t, file, maxJournal)
	if err != nil {
		return nil, err
	}
	j := new(journal)
	for first := true; ; first = false {
		line, rest, ok := bytes.Cut(text, []byte("\n"))
		if !ok {
			break
		}
		if first {
			if json.Unmarshal(line, &j.journalHead) != nil {
				return nil, errJournal
			}
		} else {
			var m journalMark
			if json.Unmarshal(line, &m) != nil || m.Offset < 0 {
				break
			}
			j.journalMark = m
		}
		j.size += int64(len(line)) + 1
		text = rest
	}
	if name, err := CleanName(j.Name); err != nil || name != j.Name || j.Size < -1 {
		return nil, errJournal
	}
	return j, nil
}

// mark notes that so much is durable. Until it is so itself an older mark holds, which is
// true too.
func (j *journal) mark(m journalMark) error {
	j.journalMark = m
	return j.append(m)
}

func (j *journal) append(line any) error {
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	n, err := j.file.WriteAt(append(text, '\n'), j.size)
	j.size += int64(n)
	return err
}

// readUploads returns the journals of uploads in a directory that can go on. With clean it
// removes what an interrupted operation has left that is of no use. That is done when a
// store is opened only, since the files of an upload that begins look like that for a
// moment; what another process is at work on is locked, and left alone.
func readUploads(t tree, dir string, clean bool) ([]*journal, error) {
	entries, err := t.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	files := map[string]bool{}
	for _, e := range entries {
		files[e.Name()] = true
	}
	var found []*journal
	for _, e := range entries {
		file := path.Join(dir, e.Name())
		id, ok := strings.CutSuffix(e.Name(), ".journal")
		data, isData := strings.CutSuffix(e.Name(), ".data")
		switch {
		case ok && files[id+".data"]:
			if j, err := readJournal(t, file); err == nil {
				found = append(found, j)
			}
		case !clean:
		case ok: // the upload ended or never began
			removeUnlocked(t, file)
		case strings.HasSuffix(e.Name(), temporarySuffix):
			removeUnlocked(t, file)
		case isData && !files[data+".journal"]:
			// It may have come while the directory was read: the journal is there before
			// the data, and is removed after it.
			if _, err := t.Stat(path.Join(dir, data+".journal")); errors.Is(err, fs.ErrNotExist) {
				removeUnlocked(t, file)
			}
		}
	}
	return found, nil
}

// removeUnlocked removes a file that nobody has locked.
func removeUnlocked(t tree, name string) {
	f, err := t.Open(name, true)
	if err != nil {
		return
	}
	defer f.Close()
	if f.Lock(true) == nil {
		t.Remove(name)
	}
}
