package api

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxForm bounds the body of a login in bytes.
const maxForm = 16 << 10

// login begins a session: user, passwd and expire, in seconds, are in a form.
func (s *Server) login(r *request) (any, error) {
	if s.config.Auth == nil {
		return nil, nil
	}
	r.http.Body = http.MaxBytesReader(r.w, r.http.Body, maxForm)
	var tooLarge *http.MaxBytesError
	err := r.http.ParseForm()
	if err == nil {
		err = r.http.ParseMultipartForm(maxForm)
	}
	switch {
	case errors.As(err, &tooLarge):
		return nil, err
	case err != nil && err != http.ErrNotMultipart:
		return nil, badField("body", "%v", err)
	}
	form := r.http.PostForm
	name, password := strings.TrimSpace(form.Get("user")), form.Get("passwd")
	expire := int64(0)
	if text := strings.TrimSpace(form.Get("expire")); text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 0 {
			return nil, badField("expire", "the argument %q is not a number of seconds from 0", shorten(text))
		}
		expire = n
	}
	switch {
	case !validUser(name):
		return nil, badField("user", "the argument is not a user name")
	case !validPassword(password):
		return nil, badField("passwd", "the argument has characters that passwords have not")
	case form.Get("redirect") != "":
		return nil, badField("redirect", "no redirects are allowed")
	}
	r.user = name
	u, err := s.config.Auth.password(r.context(), addressOf(r.http), name, password)
	if err != nil {
		return nil, err
	}
	http.SetCookie(r.w, &http.Cookie{
		Name: cookieName, Value: s.config.Auth.login(u, time.Duration(expire)*time.Second), Path: "/",
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.http.TLS != nil,
	})
	return nil, nil
}

// logout ends all sessions of the user whose cookie comes.
func (s *Server) logout(r *request) (any, error) {
	if s.config.Auth == nil {
		return nil, nil
	}
	if _, err := r.http.Cookie(cookieName); err != nil {
		return nil, badField("auth_token", "there is no such cookie")
	}
	s.config.Auth.logout(r.user)
	http.SetCookie(r.w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	return nil, nil
}

// check tells who makes the call. That he may is half of the answer.
func (s *Server) check(r *request) (any, error) {
	role := r.role
	if s.config.Auth == nil {
		role = Upload
	}
	return map[string]string{"user": r.user, "role": role.String()}, nil
}

// authenticate finds who makes the call, and whether he may.
func (s *Server) authenticate(c *call, r *request) error {
	if err := s.origin.Check(r.http); err != nil { // a browser, on behalf of another site
		return &httpError{"ForbiddenError", "Forbidden: the request comes from another site", http.StatusForbidden}
	}
	if s.config.Auth == nil || c.role == Nobody {
		return nil
	}
	u, err := s.config.Auth.identify(r.http)
	if err != nil {
		return err
	}
	r.user, r.role = u.Name, u.Role
	if u.Role < c.role {
		return &httpError{"ForbiddenError", "Forbidden: this needs the role " + c.role.String(), http.StatusForbidden}
	}
	return nil
}
