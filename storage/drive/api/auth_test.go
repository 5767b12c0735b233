package api

import (
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
)

// accounts has a user of each role, named as the role, whose password is his name, and a
// token of each.
func accounts(t *testing.T) *Auth {
	t.Helper()
	var users []User
	for role := View; role <= Upload; role++ {
		hash, err := bcrypt.GenerateFromPassword([]byte(role.String()), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		users = append(users, User{Name: role.String(), Role: role, Password: string(hash)}, User{Name: "t-" + role.String(), Role: role, Token: hashToken("token of " + role.String())})
	}
	return NewAuth(users)
}

// try makes a request with headers, as "Name: value", and returns its status and cookies.
func (w *world) try(call string, body io.Reader, headers ...string) (int, []*http.Cookie) {
	w.t.Helper()
	answer := w.send(call, body, headers...)
	answer.Body.Close()
	return answer.StatusCode, answer.Cookies()
}

// text is try that returns what came.
func (w *world) text(call string, body io.Reader, headers ...string) (int, string) {
	w.t.Helper()
	answer := w.send(call, body, headers...)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		w.t.Errorf("%s: %v", call, err)
	}
	return answer.StatusCode, string(text)
}

func (w *world) send(call string, body io.Reader, headers ...string) *http.Response {
	w.t.Helper()
	method, path, _ := strings.Cut(call, " ")
	r, err := http.NewRequest(method, w.web.URL+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	if name, password, ok := strings.Cut(r.Header.Get("User"), ":"); ok {
		r.SetBasicAuth(name, password)
	}
	answer, err := w.web.Client().Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer
}

// TestRoles makes every call as everyone: nobody, and each role by each way to say who one
// is. What the role is too low for is refused, before anything is looked at.
func TestRoles(t *testing.T) {
	w := newWorld(t, func(_ *imagestore.Config, _ *drive.Config, c *Config) { c.Auth = accounts(t) })
	for _, c := range calls() {
		if c.role == Nobody {
			continue
		}
		call := c.method + " /api" + c.path
		if status, _ := w.try(call, nil); status != 401 {
			t.Errorf("%s: without authentication the status is %d", call, status)
		}
		for role := View; role <= Upload; role++ {
			for _, header := range [][]string{
				{"User: " + role.String() + ":" + role.String()},
				{"X-KVMD-User: " + role.String(), "X-KVMD-Passwd: " + role.String()},
				{"Authorization: Bearer token of " + role.String()},
			} {
				status, _ := w.try(call, nil, header...)
				if refused := status == 403; refused != (role < c.role) || status == 401 {
					t.Errorf("%s, as %v: status %d", call, header, status)
				}
			}
		}
	}
	for _, bad := range [][]string{
		{"User: view:wrong"}, {"User: nobody:view"}, {"X-KVMD-User: view", "X-KVMD-Passwd: wrong"}, {"Authorization: Bearer wrong"},
		{"Cookie: auth_token=" + strings.Repeat("0", 64)},
	} {
		if status, _ := w.try("GET /msd", nil, bad...); status != 403 {
			t.Errorf("%v: status %d", bad, status)
		}
	}
	for _, bad := range [][]string{{"Authorization: Digest x"}, {"Authorization: Basic !"}} {
		if status, _ := w.try("GET /msd", nil, bad...); status != 401 {
			t.Errorf("%v: status %d", bad, status)
		}
	}
	for _, bad := range [][]string{{"X-KVMD-User: A B"}, {"Authorization: Basic dmlldzp/"}, {"Cookie: auth_token=short"}} {
		if status, _ := w.try("GET /msd", nil, bad...); status != 400 {
			t.Errorf("%q: status %d", bad, status)
		}
	}
}

// TestSession logs in and out, and has other sites make requests with the cookie.
func TestSession(t *testing.T) {
	w := newWorld(t, func(_ *imagestore.Config, _ *drive.Config, c *Config) { c.Auth = accounts(t) })
	form := func(user, password string) io.Reader {
		return strings.NewReader(url.Values{"user": {user}, "passwd": {password}, "expire": {"60"}}.Encode())
	}
	const kind = "Content-Type: application/x-www-form-urlencoded"
	status, cookies := w.try("POST /api/auth/login", form("upload", "upload"), kind)
	if status != 200 || len(cookies) != 1 || cookies[0].Name != "auth_token" || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || len(cookies[0].Value) != 64 {
		t.Fatalf("login: status %d, cookies %v", status, cookies)
	}
	cookie := "Cookie: auth_token=" + cookies[0].Value
	for _, c := range []struct {
		call   string
		header []string
		status int
	}{
		{"GET /auth/check", nil, 200}, {"POST /msd/reset", nil, 200},
		{"POST /msd/reset", []string{"Origin: https://evil.example"}, 403},
		{"POST /msd/reset", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"POST /msd/reset", []string{"Sec-Fetch-Site: same-origin"}, 200},
		{"POST /msd/reset", []string{"Origin: " + w.web.URL}, 200},
		{"GET /ws", []string{"Origin: https://evil.example", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="}, 403},
		{"POST /auth/login", []string{"Origin: https://evil.example"}, 403},
		{"POST /auth/logout", nil, 200}, {"GET /auth/check", nil, 403},
	} {
		if status, _ := w.try(c.call, nil, append(c.header, cookie)...); status != c.status {
			t.Errorf("%s with %v: status %d, want %d", c.call, c.header, status, c.status)
		}
	}
	for _, bad := range []url.Values{{}, {"user": {"A"}, "passwd": {"x"}}, {"user": {"view"}, "passwd": {"\x01"}}, {"user": {"view"}, "expire": {"-1"}}, {"user": {"view"}, "redirect": {"/x"}}} {
		if status, _ := w.try("POST /auth/login", strings.NewReader(bad.Encode()), kind); status != 400 {
			t.Errorf("login with %v: status %d", bad, status)
		}
	}
	if status, _ := w.try("POST /auth/login", strings.NewReader("user=view&passwd="+strings.Repeat("x", maxForm)), kind); status != 413 {
		t.Errorf("a login of %d bytes: status %d", maxForm, status)
	}
	for i := range maxFailures + 3 {
		want := 403
		if i >= maxFailures {
			want = 429
		}
		if status, _ := w.try("POST /auth/login", form("view", "wrong"), kind); status != want {
			t.Errorf("wrong password %d: status %d, want %d", i+1, status, want)
		}
	}
	if status, _ := w.try("GET /msd", nil, "Authorization: Bearer token of view"); status != 200 {
		t.Errorf("a token, while passwords wait: status %d", status)
	}
}

// TestUsersFile makes, changes and reads a file of users.
func TestUsersFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	users, password, err := LoadUsers(file)
	if err != nil || len(users) != 1 || users[0].Name != "admin" || users[0].Role != Upload || bcrypt.CompareHashAndPassword([]byte(users[0].Password), []byte(password)) != nil {
		t.Fatalf("at first: %v, %q, %v", users, password, err)
	}
	token, err := NewToken(file, "robot", View)
	if err != nil {
		t.Fatal(err)
	}
	if err := SetPassword(file, "admin", Operate, "another"); err != nil {
		t.Fatal(err)
	}
	users, password, err = LoadUsers(file)
	if err != nil || password != "" || len(users) != 2 || users[0].Token != hashToken(token) || users[1].Role != Operate {
		t.Errorf("then: %v, %q, %v", users, password, err)
	}
	for _, bad := range []string{"user", "user a view x", "user A view $2a$04$", "token a view zz", "user a boss x y", "other a view x"} {
		if u, err := ParseUsers(strings.NewReader("\n# c\n" + bad)); err == nil || !strings.Contains(err.Error(), "line 3") {
			t.Errorf("%q: %v, %v", bad, u, err)
		}
	}
	if SetPassword(file, "x", View, strings.Repeat("x", 73)) == nil || SetPassword(file, "X", View, "x") == nil {
		t.Error("a bad password or name was taken")
	}
	for n := range 2 {
		c, err := SelfSigned(filepath.Join(filepath.Dir(file), "tls.pem"), []string{"192.0.2.1", "drive.example"})
		if err != nil || c.Leaf.VerifyHostname("drive.example") != nil || c.Leaf.VerifyHostname("192.0.2.1") != nil || len(Fingerprint(c)) != 95 {
			t.Fatalf("certificate %d: %v", n, err)
		}
		if n == 0 {
			password = Fingerprint(c)
		} else if Fingerprint(c) != password {
			t.Error("the second start has another certificate")
		}
	}
}
