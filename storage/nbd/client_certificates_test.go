package nbd

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
)

// certificateDir is a directory as tls-certificates names it, with certificates of one
// authority for the server localhost and the client alice.
func certificateDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	save := func(name, typ string, der []byte) {
		if err := os.WriteFile(filepath.Join(dir, name+".pem"), pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := newAuthority(t)
	save("ca-cert", "CERTIFICATE", a.cert.Raw)
	for file, name := range map[string]string{"server": "localhost", "client": "alice"} {
		cert, key := a.sign(t, name)
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		save(file+"-cert", "CERTIFICATE", cert.Raw)
		save(file+"-key", "PRIVATE KEY", der)
	}
	return dir
}
