package compat

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// mariaDB starts a server at the other end, and returns a pool of connections to it
// over the stack.
func mariaDB(t *testing.T, h *host) *sql.DB {
	t.Helper()
	need(t, "mariadbd")
	need(t, "mariadb-install-db")
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	data := filepath.Join(dir, "data")
	who := credential(t, "mysql")
	must(t, os.Chown(dir, int(who.Uid), int(who.Gid)))
	install := command(t, "mariadb-install-db", "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	install.SysProcAttr.Credential = who
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}
	h.start(t, "mysql", "mariadbd", "--no-defaults", "--datadir="+data, "--bind-address="+kernel, "--port=3306", "--skip-grant-tables", "--skip-networking=0",
		"--socket="+filepath.Join(dir, "s"), "--pid-file="+filepath.Join(dir, "pid"), "--innodb-buffer-pool-size=16M", "--skip-name-resolve")
	mysql.RegisterDialContext("gonet-"+t.Name(), func(ctx context.Context, address string) (net.Conn, error) { return h.DialContext(ctx, "tcp", address) })
	db, err := sql.Open("mysql", "root@gonet-"+t.Name()+"("+kernel+":3306)/?timeout=5s")
	must(t, err)
	t.Cleanup(func() { db.Close() })
	await(t, "mariadbd", func() bool { return db.PingContext(t.Context()) == nil })
	return db
}

// TestMySQL works with MariaDB by go-sql-driver, and kills its connections: the driver
// looks whether one still lives before it uses it, for which it needs SyscallConn.
func TestMySQL(t *testing.T) {
	h := newHost(t)
	db := mariaDB(t, h)
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(ctx, query, args...); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	exec("CREATE DATABASE d")
	exec("CREATE TABLE d.t (id INT PRIMARY KEY, text LONGTEXT)")
	long := strings.Repeat("a long text ", 50_000)
	for i := range 20 {
		exec("INSERT INTO d.t VALUES (?, ?)", i, long)
	}
	var text string
	must(t, db.QueryRowContext(ctx, "SELECT text FROM d.t WHERE id = 7").Scan(&text))
	if text != long {
		t.Errorf("%d bytes, want %d", len(text), len(long))
	}
	mysql.SetLogger(log.New(io.Discard, "", 0)) // says of each killed connection that it closes it
	db.SetMaxOpenConns(2)
	killer, err := db.Conn(ctx)
	must(t, err)
	defer killer.Close()
	failed := 0
	for range 10 {
		var id int64
		must(t, db.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&id))
		if _, err := killer.ExecContext(ctx, fmt.Sprintf("KILL %d", id)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // until the end of the connection has come
		// A statement that changes something is not repeated by database/sql.
		if _, err := db.ExecContext(ctx, "UPDATE d.t SET text = '' WHERE id = 1"); err != nil {
			failed++
			t.Logf("after a kill: %v", err)
		}
	}
	if failed > 0 {
		t.Errorf("%d of 10 statements failed on connections that had been killed before", failed)
	}
}
