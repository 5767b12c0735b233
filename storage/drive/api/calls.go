package api

import (
	"net/http"

	"github.com/seed-012105e5/gonet/storage/drive"
)

// A Role is what a user may do; each may do what those before it may.
type Role uint8

const (
	Nobody  Role = iota // calls that need no authentication
	View                // look
	Operate             // connect and disconnect, and what View may
	Upload              // change what is in the store, and what Operate may
)

// String is the role's name, as files of users have it.
func (r Role) String() string {
	return [...]string{"nobody", "view", "operate", "upload"}[min(r, Upload)]
}

// A call is one of the API.
type call struct {
	method, path string // without /api, which may be before it
	role         Role
	summary      string
	params       []param
	// handle does it. What it returns goes into the envelope; streamed says that it has
	// answered by itself.
	handle func(s *Server, r *request) (any, error)
	index  int    // in Server.calls
	result string // what the document says of the result
}

// streamed is what a handler returns that has written the answer.
type streamed struct{}

// isRemote says whether what was given for an image is a URL.
func isRemote(name string) bool { return drive.IsURL(name) }

// calls are all calls.
func calls() []call {
	ofDrive := param{name: "drive", kind: text, usage: "the name of a drive; the first one"}
	name := param{name: "image", kind: image, required: true, usage: "the name of an image"}
	optional := func(p param) param { p.required = false; return p }
	prefix := param{name: "prefix", kind: text, usage: "a directory that goes before the name"}
	incomplete := param{name: "remove_incomplete", kind: boolean, usage: "remove what has come if the upload does not come to its end"}
	sum := param{name: "sha256", kind: digest, usage: "the SHA-256 that the image must have"}
	packed := param{name: "compressed", kind: choice, variants: []string{"none", "auto", "xz", "zst", "gz"}, usage: "how the body is compressed; auto goes by its first bytes; none"}
	return []call{
		{http.MethodPost, "/auth/login", Nobody, "Begins a session: user, passwd and expire come in a form, its cookie goes back", nil, (*Server).login, 0, ""},
		{http.MethodPost, "/auth/logout", View, "Ends the sessions of the user", nil, (*Server).logout, 0, ""},
		{http.MethodGet, "/auth/check", View, "Tells who one is: user, which is empty without authentication, and role", nil, (*Server).check, 0, "identity"},
		{http.MethodGet, "/msd", View, "The state of a drive and of the store", []param{ofDrive}, (*Server).getState, 0, "state"},
		{http.MethodPost, "/msd/set_params", Operate, "Sets parameters of a disconnected drive. Parameters with other names belong to the URL of an image", []param{ofDrive,
			{name: "image", kind: medium, usage: "the name of an image, the URL of a remote one, or nothing to select none"},
			{name: "cdrom", kind: boolean, usage: "be a CD-ROM"},
			{name: "rw", kind: boolean, usage: "let machines write; never for CD-ROMs, .iso, and images that cannot be written"},
			{name: "overlay", kind: boolean, usage: "have writes of machines go beside the image"},
		}, (*Server).setParams, 0, ""},
		{http.MethodPost, "/msd/set_connected", Operate, "Connects or disconnects a drive", []param{ofDrive,
			{name: "connected", kind: boolean, required: true, usage: "1 to connect"},
			{name: "force", kind: boolean, usage: "disconnect though a machine has locked the medium"},
		}, (*Server).setConnected, 0, ""},
		{http.MethodGet, "/msd/read", View, "Downloads an image; ranges of it if it is not compressed", []param{name,
			{name: "compress", kind: choice, variants: []string{"none", "lzma", "zstd"}, usage: "compress to .xz or .zst"},
		}, (*Server).read, 0, "binary"},
		{http.MethodPost, "/msd/write", Upload, "Uploads an image; the body is its contents", []param{prefix, name, incomplete,
			{name: "offset", kind: integer, usage: "go on with an upload at this byte, which is at most what has come"},
			{name: "size", kind: integer, usage: "bytes of the whole image, if Content-Length does not say it"},
			{name: "begin", kind: boolean, usage: "take no body: reserve room for size bytes, and answer with how many have come before"},
			sum, packed,
		}, (*Server).write, 0, "written"},
		{http.MethodPost, "/msd/write_remote", Upload, "Fetches an image from a URL; progress comes as lines of JSON", []param{
			{name: "url", kind: text, required: true, usage: "an http or https URL"},
			{name: "insecure", kind: boolean, usage: "do not verify the certificate of the server"},
			{name: "timeout", kind: seconds, usage: "seconds until the server must have answered; 10"},
			prefix, optional(name), incomplete, sum, packed,
			{name: "resume", kind: boolean, usage: "go on with what has come before"},
			{name: "background", kind: boolean, usage: "answer with the number of a job, and go on when the client goes"},
		}, (*Server).writeRemote, 0, "progress"},
		{http.MethodPost, "/msd/remove", Upload, "Removes an image, or an upload that has not ended", []param{name}, (*Server).remove, 0, ""},
		{http.MethodPost, "/msd/reset", Operate, "Disconnects a drive, whatever machines do, and forgets its parameters", []param{ofDrive}, (*Server).reset, 0, ""},
		{http.MethodPost, "/msd/checksum", Upload, "Finds out the SHA-256 of an image; answers with the number of a job", []param{name}, (*Server).checksum, 0, "job"},
		{http.MethodGet, "/msd/jobs", View, "What goes on in the background, and what has ended lately", nil, (*Server).listJobs, 0, "jobs"},
		{http.MethodPost, "/msd/jobs/cancel", Upload, "Ends a job", []param{{name: "job", kind: integer, required: true, usage: "the number of a job"}}, (*Server).cancelJob, 0, ""},
		{http.MethodPost, "/msd/overlay/discard", Upload, "Forgets what machines have written over an image by a drive", []param{ofDrive, name}, (*Server).discardOverlay, 0, ""},
		{http.MethodPost, "/msd/overlay/commit", Upload, "Writes to the image what machines have written over it; answers with the number of a job", []param{ofDrive, name}, (*Server).commitOverlay, 0, "job"},
		{http.MethodGet, "/metrics", View, "Metrics in the text format of Prometheus", nil, (*Server).metrics, 0, "text"},
		{http.MethodGet, "/openapi.json", Nobody, "This document", nil, (*Server).document, 0, "binary"},
		{http.MethodGet, "/msd/drives", View, "The states of all drives, by name", nil, (*Server).drives, 0, "drives"},
		{http.MethodGet, "/ws", View, "A WebSocket with events: msd, the state and what changes of it; msd_traffic, what machines have read and written; msd_jobs, all jobs when there is news of one", []param{ofDrive,
			{name: "stream", kind: boolean, usage: "of no consequence here"}}, (*Server).socket, 0, "websocket"},
	}
}
