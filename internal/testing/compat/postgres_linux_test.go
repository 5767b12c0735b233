package compat

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// postgres starts a server at the other end, and returns the URL of it.
func postgres(t *testing.T, h *host) string {
	t.Helper()
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(bins) == 0 {
		unable(t, "there is no PostgreSQL here; scripts/test installs it")
	}
	bin := bins[len(bins)-1]
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	who := credential(t, "postgres")
	must(t, os.Chown(dir, int(who.Uid), int(who.Gid)))
	data := filepath.Join(dir, "data")
	install := command(t, filepath.Join(bin, "initdb"), "-D", data, "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
	install.SysProcAttr.Credential = who
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	rules := "host all all 10.0.0.0/24 trust\n"
	must(t, os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(rules), 0o644))
	h.start(t, "postgres", filepath.Join(bin, "postgres"), "-D", data, "-h", kernel, "-p", "5432", "-k", dir, "-F")
	return "postgres://postgres@" + kernel + ":5432/postgres?sslmode=disable"
}

// TestPostgres works with PostgreSQL by pgx: queries, a copy of many rows, a query
// that is cancelled by another connection, and a server that ends a connection.
func TestPostgres(t *testing.T) {
	h := newHost(t)
	cfg, err := pgx.ParseConfig(postgres(t, h))
	must(t, err)
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		return h.DialContext(ctx, network, address)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	var c *pgx.Conn
	await(t, "postgres", func() bool { c, err = pgx.ConnectConfig(ctx, cfg); return err == nil })
	defer c.Close(ctx)

	_, err = c.Exec(ctx, "CREATE TABLE t (id int PRIMARY KEY, text text)")
	must(t, err)
	const rows = 50_000
	n, err := c.CopyFrom(ctx, pgx.Identifier{"t"}, []string{"id", "text"}, pgx.CopyFromSlice(rows, func(i int) ([]any, error) {
		return []any{i, "a row with some text"}, nil
	}))
	if n != rows || err != nil {
		t.Fatalf("%d rows copied, %v", n, err)
	}
	var sum int64
	result, err := c.Query(ctx, "SELECT id FROM t")
	must(t, err)
	for result.Next() {
		var id int64
		must(t, result.Scan(&id))
		sum += id
	}
	if want := int64(rows) * (rows - 1) / 2; sum != want || result.Err() != nil {
		t.Errorf("sum %d, want %d, %v", sum, want, result.Err())
	}

	short, cancelShort := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancelShort()
	if _, err := c.Exec(short, "SELECT pg_sleep(30)"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a query that takes too long: %v", err)
	}
	c, err = pgx.ConnectConfig(ctx, cfg)
	must(t, err)
	defer c.Close(ctx)
	_, err = c.Exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
	var said *pgconn.PgError
	if !errors.As(err, &said) || said.Code != "57P01" {
		t.Errorf("a connection that the server ends: %v", err)
	}
}
