package setup

import (
	"context"
	"net/http"
	"time"
)

// graceTime is how long requests may go on when a server is to end.
const graceTime = time.Second

// ServeHTTP calls serve, a method of s, and ends s when ctx is done.
func ServeHTTP(ctx context.Context, s *http.Server, serve func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- serve() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTime)
	defer cancel()
	if s.Shutdown(grace) != nil {
		s.Close()
	}
	<-ended // http.ErrServerClosed
	return nil
}
