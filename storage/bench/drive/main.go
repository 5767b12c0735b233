// Command drive compares the API of a virtual drive with nginx and dd: downloads over TLS
// beside nginx's, both by curl; uploads over TLS beside dd that syncs at the same
// intervals.
//
//	go run ./storage/bench/drive [-size 1024] [-rounds 3]
//
// It needs nginx, curl and dd. It prints each round, and the ratios of it; only ratios
// within one run mean something.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/drive/api"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
)

const syncEvery = 16 << 20

func main() {
	log.SetFlags(0)
	serve := flag.String("serve", "", "be the server, with this `directory` (for the program itself)")
	listen := flag.String("listen", "", "`address` for -serve")
	size := flag.Int64("size", 1024, "of the image, in `MiB`")
	rounds := flag.Int("rounds", 3, "`number` of rounds, of which the median counts")
	dir := flag.String("dir", os.TempDir(), "`directory` for files")
	flag.Parse()
	var err error
	if *serve != "" {
		err = serveDrive(*serve, *listen)
	} else {
		err = run(*dir, *size<<20, *rounds)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// noDoor is a backend of no consequence.
type noDoor struct{}

func (noDoor) Insert(context.Context, drive.Medium) error { return nil }
func (noDoor) Eject(context.Context, bool) error          { return nil }
func (noDoor) Close() error                               { return nil }

func serveDrive(dir, listen string) error {
	c, err := api.SelfSigned(filepath.Join(dir, "tls.pem"), nil)
	if err != nil {
		return err
	}
	store, err := imagestore.Open(imagestore.Config{Dir: filepath.Join(dir, "store"), SyncEvery: syncEvery})
	if err != nil {
		return err
	}
	d, err := drive.New(drive.Config{Store: store, Backend: noDoor{}})
	if err != nil {
		return err
	}
	s, err := api.New(api.Config{Store: store, Drives: []*drive.Drive{d}})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	web := &http.Server{Handler: s, TLSConfig: &tls.Config{Certificates: []tls.Certificate{c}, NextProtos: []string{"http/1.1"}}}
	return web.ServeTLS(l, "", "")
}

func run(dir string, size int64, rounds int) error {
	dir, err := os.MkdirTemp(dir, "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	source := filepath.Join(dir, "source.img")
	if err := fill(source, size); err != nil {
		return err
	}
	ours, theirs := freeAddress(), freeAddress()
	self := exec.Command(os.Args[0], "-serve", dir, "-listen", ours)
	self.Stderr = os.Stderr
	if err := self.Start(); err != nil {
		return err
	}
	defer func() { self.Process.Kill(); self.Wait() }()
	if err := reachable(ours); err != nil {
		return err
	}
	nginx, err := startNginx(dir, theirs)
	if err != nil {
		return err
	}
	defer func() { nginx.Process.Kill(); nginx.Wait() }()
	if err := reachable(theirs); err != nil {
		return err
	}
	var up, down []float64
	for n := range rounds {
		dd, err := timed("dd", "if="+source, "of="+filepath.Join(dir, "dd.img"), "bs="+strconv.Itoa(syncEvery), "oflag=dsync", "status=none")
		if err != nil {
			return err
		}
		os.Remove(filepath.Join(dir, "dd.img"))
		name := fmt.Sprintf("i%d.img", n)
		put, err := timed("curl", "-skf", "-o", "/dev/null", "-H", "Expect:", "-X", "POST", "-T", source, "https://"+ours+"/api/msd/write?image="+name)
		if err != nil {
			return err
		}
		get, err := timed("curl", "-skf", "-o", "/dev/null", "https://"+ours+"/api/msd/read?image="+name)
		if err != nil {
			return err
		}
		other, err := timed("curl", "-skf", "--http1.1", "-o", "/dev/null", "https://"+theirs+"/source.img")
		if err != nil {
			return err
		}
		os.Remove(filepath.Join(dir, "store", "images", name))
		speed := func(d time.Duration) float64 { return float64(size) / 1e6 / d.Seconds() }
		fmt.Printf("upload %4.0f MB/s, dd %4.0f MB/s: %.2f    download %4.0f MB/s, nginx %4.0f MB/s: %.2f\n", speed(put), speed(dd), dd.Seconds()/put.Seconds(), speed(get), speed(other), other.Seconds()/get.Seconds())
		up, down = append(up, dd.Seconds()/put.Seconds()), append(down, other.Seconds()/get.Seconds())
	}
	slices.Sort(up)
	slices.Sort(down)
	fmt.Printf("medians: upload %.2f of dd, download %.2f of nginx\n", up[len(up)/2], down[len(down)/2])
	return nil
}

// fill writes a file of random data.
func fill(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	r := rand.NewChaCha8([32]byte{})
	buf := make([]byte, 1<<20)
	for n := int64(0); n < size && err == nil; n += int64(len(buf)) {
		r.Read(buf)
		_, err = f.Write(buf)
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// timed runs a program to its end.
func timed(name string, args ...string) (time.Duration, error) {
	began := time.Now()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return time.Since(began), nil
}

func freeAddress() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// reachable waits until somebody listens.
func reachable(address string) error {
	var err error
	for range 200 {
		var c net.Conn
		if c, err = net.Dial("tcp", address); err == nil {
			return c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

// startNginx has nginx serve the directory by TLS with the same certificate.
func startNginx(dir, address string) (*exec.Cmd, error) {
	config := strings.NewReplacer("DIR", dir, "ADDRESS", address).Replace(`
daemon off; master_process off; pid DIR/nginx.pid; error_log stderr error;
events {}
http {
  access_log off; sendfile on; tcp_nopush on;
  client_body_temp_path DIR/t1; proxy_temp_path DIR/t2; fastcgi_temp_path DIR/t3; uwsgi_temp_path DIR/t4; scgi_temp_path DIR/t5;
  server { listen ADDRESS ssl; ssl_certificate DIR/tls.pem; ssl_certificate_key DIR/tls.pem; root DIR; output_buffers 2 256k; ssl_buffer_size 16k; }
}
`)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		nginx = "/usr/sbin/nginx"
	}
	c := exec.Command(nginx, "-c", file, "-p", dir, "-e", "stderr")
	c.Stderr = os.Stderr
	return c, c.Start()
}
