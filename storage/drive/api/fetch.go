package api

// writeRemote fetches an image from a URL.
func (s *Server) writeRemote(r *request) (any, error) {
	return nil, errUnavailable
}
