package s3

import (
	"context"
	crand "crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/seed-012105e5/gonet/storage/block"
)

// Config says where a disk is and how to treat it. Zero values mean what is said.
type Config struct {
	Endpoint string // of the server: host:port, or a URL; https://s3.amazonaws.com
	Region   string // us-east-1
	Bucket   string // which exists
	Name     string // of the disk; its objects are Name/manifest, Name/c/... and Name/p/...

	// Of the user. Where they are empty, the environment (AWS_ACCESS_KEY_ID,
	// AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN) and the file ~/.aws/credentials say.
	AccessKey, SecretKey, SessionToken string

	// How the server is reached; nil is the kernel's network, and what Go trusts.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	TLS         *tls.Config

	Create bool  // makes the disk if there is none
	Size   int64 // of a disk that is made, in bytes
	Chunk  int   // of a disk that is made, in bytes, a power of two from 4 KB to 64 MB; 4 MB

	// ReadOnly opens the disk as it was published last, and asks nobody.
	ReadOnly bool
	// Journal is where changes are durable until they are in the bucket. It belongs
	// to the disk until that is closed, and is closed with it; where Open fails, it
	// stays the caller's. It has room for two chunks at least. Who has it is taken for
	// the writer that the disk had, so nobody else may have it open at the same time:
	// a [block.File] sees to that by a lock. Without a journal, Sync waits for the
	// bucket.
	Journal block.Device
	// TakeOver opens a disk whose writer has not closed it, is silent, and had a
	// journal that is not this one: what it acknowledged and did not upload is given
	// up.
	TakeOver bool
	Owner    string        // what others are told of this writer; the host and the process
	Lease    time.Duration // after which a silent writer is given up, in seconds from 3 s to a day; 60 s

	Cache       int64         // bytes of chunks in memory, at least 8 chunks; 256 MB
	ReadAhead   int           // chunks that are fetched ahead of a reader that goes forward; 2, and -1 for none
	Parallel    int           // reads, and as many writes, of objects at the same time, at most 64; 8
	UploadAfter time.Duration // how long a change is not uploaded yet; 5 s
	Timeout     time.Duration // of one attempt to read or write an object; 60 s
	Patience    time.Duration // after which a read fails where the bucket does not answer; 5 minutes, and -1 for never
	CloseWithin time.Duration // what Close may take to upload what is left; 60 s
	Rand        rand.Source   // of the pauses between attempts
}

// Errors. The first two are, by errors.Is, [block.ErrInUse] too.
var (
	// ErrHeld says that somebody else writes to the disk.
	ErrHeld = fmt.Errorf("s3: %w", block.ErrInUse)
	// ErrNotClosed says that the last writer did not close the disk, and that what it
	// acknowledged may be in its journal only.
	ErrNotClosed = fmt.Errorf("s3: the last writer has not closed it: %w", block.ErrInUse)
	// ErrJournal says that the journal is not that of the disk.
	ErrJournal = fmt.Errorf("s3: the journal does not fit: %w", syscall.EINVAL)
	// ErrLost says that somebody has taken the disk over. Nothing that this writer did
	// since is in the bucket, nor will it be.
	ErrLost = fmt.Errorf("s3: another writer has taken the disk over: %w", syscall.ESHUTDOWN)
	// ErrChanged says that the object of a chunk is gone: a writer has replaced it
	// since a disk was opened for reading.
	ErrChanged = fmt.Errorf("s3: the disk has changed since it was opened: %w", syscall.EIO)
	// ErrNoDisk says that there is no disk of that name.
	ErrNoDisk = fmt.Errorf("s3: there is no such disk: %w", syscall.ENOENT)
)

func journalError(err error) error {
	if errors.Is(err, block.ErrClosed) {
		return err
	}
	return fmt.Errorf("s3: the journal has failed, nothing is written any more: %w", err)
}

// withDefaults fills in what is zero, and checks the rest.
func (c Config) withDefaults() (Config, error) {
	if c.Endpoint == "" {
		c.Endpoint = "https://s3.amazonaws.com"
	}
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	if c.Name = strings.Trim(c.Name, "/"); c.Name == "" {
		return c, errors.New("s3: the disk has no name")
	}
	if c.Chunk == 0 {
		c.Chunk = 4 << 20
	}
	if err := checkGeometry(c.Size, c.Chunk); err != nil {
		return c, fmt.Errorf("s3: %w", err)
	}
	for _, d := range []struct {
		v        *time.Duration
		standard time.Duration
	}{{&c.Lease, time.Minute}, {&c.UploadAfter, 5 * time.Second}, {&c.Timeout, time.Minute}, {&c.Patience, 5 * time.Minute}, {&c.CloseWithin, time.Minute}} {
		if *d.v == 0 {
			*d.v = d.standard
		}
	}
	c.Lease = min(max(c.Lease.Truncate(time.Second), 3*time.Second), 24*time.Hour)
	if c.Cache == 0 {
		c.Cache = 256 << 20
	}
	if c.Parallel == 0 {
		c.Parallel = 8
	}
	c.Parallel = min(max(c.Parallel, 1), 64)
	switch {
	case c.ReadAhead == 0:
		c.ReadAhead = 2
	case c.ReadAhead < 0:
		c.ReadAhead = 0
	}
	if c.Rand == nil {
		c.Rand = rand.NewPCG(uint64(time.Now().UnixNano()), 0)
	}
	if c.Owner == "" {
		host, _ := os.Hostname()
		c.Owner = fmt.Sprintf("%s, process %d", host, os.Getpid())
	}
	c.Owner = c.Owner[:min(len(c.Owner), 200)] + " " + newID().String()[:16]
	return c, nil
}

// newID is a name that nothing else has, and that nobody can guess.
func newID() (id journalID) {
	crand.Read(id[:])
	return id
}

// who is the owner as people know it.
func (m manifest) who() string {
	if i := strings.LastIndexByte(m.Owner, ' '); i > 0 {
		return m.Owner[:i]
	}
	return hex.EncodeToString([]byte(m.Owner))
}

// connect makes the client. Nothing is sent yet.
func (c Config) connect() (objects, func(), error) {
	host, secure := c.Endpoint, true
	if u, err := url.Parse(c.Endpoint); err == nil && u.Host != "" {
		if u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
			return nil, nil, fmt.Errorf("s3: the endpoint %q: want http://HOST or https://HOST", c.Endpoint)
		}
		host, secure = u.Host, u.Scheme == "https"
	}
	transport := &http.Transport{
		DialContext: c.DialContext, TLSClientConfig: c.TLS,
		MaxIdleConnsPerHost: 2*c.Parallel + 1, MaxConnsPerHost: 2*c.Parallel + 1,
		IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: 10 * time.Second, DisableCompression: true,
	}
	who := credentials.NewStaticV4(c.AccessKey, c.SecretKey, c.SessionToken)
	if c.AccessKey == "" && c.SecretKey == "" {
		who = credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}})
	}
	core, err := minio.NewCore(host, &minio.Options{
		Creds: who, Secure: secure, Transport: transport, Region: c.Region,
		MaxRetries: 1, // the owner of the disk makes the attempts
	})
	if err != nil {
		return nil, nil, fmt.Errorf("s3: the endpoint %q: %w", c.Endpoint, err)
	}
	return &bucket{*core, c.Bucket}, transport.CloseIdleConnections, nil
}
