package compat

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// TestSSHServer has x/crypto/ssh serve OpenSSH's client: a command, and megabytes
// through its standard input and output.
func TestSSHServer(t *testing.T) {
	h := newHost(t)
	dir := t.TempDir()
	host, _ := newKey(t)
	user, userFile := keyFile(t, dir, "user")
	cfg := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if !bytes.Equal(key.Marshal(), user.PublicKey().Marshal()) {
			return nil, fmt.Errorf("another key")
		}
		return nil, nil
	}}
	cfg.AddHostKey(host)
	l := h.listen(t, ours+":22")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveSSH(c, cfg)
		}
	}()
	known := filepath.Join(dir, "known")
	must(t, os.WriteFile(known, []byte(ours+" "+string(ssh.MarshalAuthorizedKey(host.PublicKey()))), 0o600))
	args := []string{"-F", "none", "-o", "UserKnownHostsFile=" + known, "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i", userFile, "somebody@" + ours}
	if out := h.output(t, "ssh", append(args, "say", "hello")...); out != "say hello" {
		t.Errorf("printed %q", out)
	}
	text := bytes.Repeat([]byte("through a channel "), 200_000)
	cat := command(t, "ssh", append(args, "cat")...)
	cat.Stdin = bytes.NewReader(text)
	got, err := h.ns.Output(cat)
	if err != nil || !bytes.Equal(got, text) {
		t.Errorf("%d of %d bytes came back, %v", len(got), len(text), err)
	}
}

// serveSSH answers "cat" with what comes, and all other commands with themselves.
func serveSSH(c net.Conn, cfg *ssh.ServerConfig) {
	conn, channels, requests, err := ssh.NewServerConn(c, cfg)
	if err != nil {
		return
	}
	defer conn.Close()
	go ssh.DiscardRequests(requests)
	for channel := range channels {
		session, requests, err := channel.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range requests {
				r.Reply(r.Type == "exec" || r.Type == "env", nil)
				if r.Type != "exec" {
					continue
				}
				var exec struct{ Command string }
				ssh.Unmarshal(r.Payload, &exec)
				if exec.Command == "cat" {
					io.Copy(session, session)
				} else {
					io.WriteString(session, exec.Command)
				}
				session.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{}))
				session.Close()
			}
		}()
	}
}

// TestSSHClient has x/crypto/ssh ask OpenSSH's server, over the stack.
func TestSSHClient(t *testing.T) {
	h := newHost(t)
	need(t, "sshd")
	dir := t.TempDir()
	host, hostFile := keyFile(t, dir, "host")
	user, _ := newKey(t)
	authorized := filepath.Join(dir, "authorized")
	must(t, os.WriteFile(authorized, ssh.MarshalAuthorizedKey(user.PublicKey()), 0o600))
	must(t, os.MkdirAll("/run/sshd", 0o755))
	h.start(t, "", "/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-o", "ListenAddress="+kernel+":22", "-h", hostFile,
		"-o", "AuthorizedKeysFile="+authorized, "-o", "StrictModes=no", "-o", "PermitRootLogin=yes", "-o", "PidFile=none", "-o", "UsePAM=no")
	cfg := &ssh.ClientConfig{User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(user)}, HostKeyCallback: ssh.FixedHostKey(host.PublicKey()), Timeout: 10 * time.Second}
	var client *ssh.Client
	await(t, "sshd", func() bool {
		c, err := h.DialContext(t.Context(), "tcp", kernel+":22")
		if err != nil {
			return false
		}
		conn, channels, requests, err := ssh.NewClientConn(c, kernel+":22", cfg)
		must(t, err)
		client = ssh.NewClient(conn, channels, requests)
		return true
	})
	defer client.Close()
	text := strings.Repeat("to a shell and back ", 100_000)
	session, err := client.NewSession()
	must(t, err)
	session.Stdin = strings.NewReader(text)
	got, err := session.Output("cat")
	if err != nil || string(got) != text {
		t.Errorf("%d of %d bytes came back, %v", len(got), len(text), err)
	}
}

func newKey(t *testing.T) (ssh.Signer, ed25519.PrivateKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	signer, err := ssh.NewSignerFromKey(private)
	must(t, err)
	return signer, private
}

// keyFile writes a new key to a file as OpenSSH wants it.
func keyFile(t *testing.T, dir, name string) (ssh.Signer, string) {
	t.Helper()
	signer, private := newKey(t)
	block, err := ssh.MarshalPrivateKey(private, "")
	must(t, err)
	file := filepath.Join(dir, name)
	must(t, os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
	return signer, file
}
