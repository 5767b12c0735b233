package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/seed-012105e5/gonet/storage/iscsi"
)

// maxAnswer bounds what a server is let answer.
const maxAnswer = 256 << 20

// A Client calls a Handler.
type Client struct{ http http.Client }

// NewClient makes a client of what listens at an address: tcp:HOST:PORT, or the path of
// a socket, with or without unix: before it.
func NewClient(address string) *Client {
	network, place := split(address)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, place)
	}
	return &Client{http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// split takes an address apart into what package net calls network and address.
func split(address string) (network, place string) {
	if place, ok := strings.CutPrefix(address, "tcp:"); ok {
		return "tcp", place
	}
	return "unix", strings.TrimPrefix(address, "unix:")
}

// call does one call. What the server answers goes into result, unless that is nil.
func (c *Client) call(ctx context.Context, method, path string, body, result any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if e := (*url.Error)(nil); errors.As(err, &e) {
		err = e.Err // the URL means nothing to a user
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return refusal(response, answer)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer, result)
}

// refusal is the error that an answer tells.
func refusal(response *http.Response, answer []byte) error {
	var f failure
	if json.Unmarshal(answer, &f) != nil || f.Error == "" {
		return fmt.Errorf("the server answers %s", response.Status)
	}
	kinds := map[int]error{http.StatusNotFound: ErrNotFound, http.StatusConflict: ErrExists}
	return &remoteError{f.Error, kinds[response.StatusCode]}
}

// A remoteError is an error of the server's, of a kind that is known here.
type remoteError struct {
	text string
	kind error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.kind }

func targetPath(name string) string { return "/targets/" + url.PathEscape(name) }

func lunPath(name string, lun int) string { return targetPath(name) + "/luns/" + strconv.Itoa(lun) }

// Targets is GET /targets.
func (c *Client) Targets(ctx context.Context) (all []Target, err error) {
	err = c.call(ctx, "GET", "/targets", nil, &all)
	return all, err
}

// Sessions is GET /sessions.
func (c *Client) Sessions(ctx context.Context) (all []Session, err error) {
	err = c.call(ctx, "GET", "/sessions", nil, &all)
	return all, err
}

// Stats is GET /stats.
func (c *Client) Stats(ctx context.Context) (s iscsi.Stats, err error) {
	err = c.call(ctx, "GET", "/stats", nil, &s)
	return s, err
}

// Create is POST /targets.
func (c *Client) Create(ctx context.Context, t Target) error {
	return c.call(ctx, "POST", "/targets", t, nil)
}

// Remove is DELETE /targets/{name}.
func (c *Client) Remove(ctx context.Context, name string) error {
	return c.call(ctx, "DELETE", targetPath(name), nil, nil)
}

// AddLUN is PUT /targets/{name}/luns/{lun}.
func (c *Client) AddLUN(ctx context.Context, target string, lun int, l LUN) error {
	return c.call(ctx, "PUT", lunPath(target, lun), l, nil)
}

// RemoveLUN is DELETE /targets/{name}/luns/{lun}.
func (c *Client) RemoveLUN(ctx context.Context, target string, lun int) error {
	return c.call(ctx, "DELETE", lunPath(target, lun), nil, nil)
}

// Reload is POST /reload.
func (c *Client) Reload(ctx context.Context) error {
	return c.call(ctx, "POST", "/reload", nil, nil)
}
