package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// OpenAPI is the document of the API, in OpenAPI 3.0.3, made from its table of calls. The
// file openapi.json of this package is the same.
func OpenAPI() []byte {
	paths := map[string]map[string]any{}
	for _, c := range calls() {
		if paths["/api"+c.path] == nil {
			paths["/api"+c.path] = map[string]any{}
		}
		paths["/api"+c.path][strings.ToLower(c.method)] = c.document()
	}
	document := map[string]any{
		"openapi": "3.0.3",
		"info": map[string]any{
			"title": "Virtual drive", "version": "1",
			"description": "All paths are there without /api, too. Answers are {ok, result}; an error has result.error, its name, and result.error_msg.",
		},
		"paths": paths,
		"components": map[string]any{
			"securitySchemes": map[string]any{
				"basic":  map[string]any{"type": "http", "scheme": "basic"},
				"token":  map[string]any{"type": "http", "scheme": "bearer"},
				"cookie": map[string]any{"type": "apiKey", "in": "cookie", "name": cookieName},
				"header": map[string]any{"type": "apiKey", "in": "header", "name": "X-KVMD-User", "description": "with X-KVMD-Passwd"},
			},
			"schemas": map[string]any{
				"Error": map[string]any{
					"type": "object", "required": []string{"ok", "result"},
					"properties": map[string]any{
						"ok": map[string]any{"type": "boolean"},
						"result": map[string]any{"type": "object", "properties": map[string]any{
							"error": map[string]any{"type": "string", "enum": errorNames()}, "error_msg": map[string]any{"type": "string"},
						}},
					},
				},
			},
		},
	}
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		panic(err) // it is made of maps and strings
	}
	return append(text, '\n')
}

// errorNames are the names of all errors.
func errorNames() []string {
	names := map[string]bool{"ValidatorError": true, "InternalError": true, "TooLargeError": true}
	for _, e := range named {
		names[e.name] = true
	}
	for _, e := range []*httpError{errUnauthorized, errForbidden, errUnavailable, errNotFound, errMethod, errTooMany} {
		names[e.name] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// document is the operation of a call.
func (c *call) document() map[string]any {
	o := map[string]any{"summary": c.summary, "responses": c.responses()}
	if c.role != Nobody {
		o["description"] = "Needs the role " + c.role.String() + "."
		o["security"] = []any{map[string]any{"basic": []string{}}, map[string]any{"token": []string{}}, map[string]any{"cookie": []string{}}, map[string]any{"header": []string{}}}
	}
	parameters := []any{}
	for _, p := range c.params {
		parameters = append(parameters, map[string]any{"name": p.name, "in": "query", "required": p.required, "description": p.usage, "schema": p.schema()})
	}
	o["parameters"] = parameters
	switch c.path {
	case "/msd/write":
		o["requestBody"] = map[string]any{"required": true, "content": map[string]any{"application/octet-stream": map[string]any{"schema": map[string]any{"type": "string", "format": "binary"}}}}
	case "/auth/login":
		text := map[string]any{"type": "string"}
		o["requestBody"] = map[string]any{"required": true, "content": map[string]any{"application/x-www-form-urlencoded": map[string]any{"schema": map[string]any{
			"type": "object", "required": []string{"user", "passwd"}, "properties": map[string]any{"user": text, "passwd": text, "expire": map[string]any{"type": "integer"}},
		}}}}
	}
	return o
}

func (c *call) responses() map[string]any {
	content := map[string]any{"application/json": map[string]any{"schema": map[string]any{"type": "object"}}}
	good := "200"
	switch c.result {
	case "binary":
		content = map[string]any{"application/octet-stream": map[string]any{"schema": map[string]any{"type": "string", "format": "binary"}}}
	case "progress":
		content = map[string]any{"application/x-ndjson": map[string]any{"schema": map[string]any{"type": "string"}}}
	case "text":
		content = map[string]any{"text/plain": map[string]any{"schema": map[string]any{"type": "string"}}}
	case "websocket":
		good = "101"
	}
	all := map[string]any{good: map[string]any{"description": fmt.Sprintf("Done: %s", orNothing(c.result)), "content": content}}
	failed := map[string]any{"description": "Refused", "content": map[string]any{"application/json": map[string]any{"schema": map[string]any{"$ref": "#/components/schemas/Error"}}}}
	for _, status := range []string{"400", "401", "403", "409", "413", "429", "500", "503", "504", "507"} {
		all[status] = failed
	}
	return all
}

func orNothing(s string) string {
	if s == "" {
		return "nothing more to say"
	}
	return s
}

// schema is that of a parameter's text.
func (p *param) schema() map[string]any {
	switch p.kind {
	case boolean:
		return map[string]any{"type": "string", "enum": []string{"1", "true", "yes", "0", "false", "no"}}
	case integer:
		return map[string]any{"type": "integer", "format": "int64", "minimum": 0}
	case seconds:
		return map[string]any{"type": "number", "minimum": 0.1}
	case digest:
		return map[string]any{"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}
	case choice:
		return map[string]any{"type": "string", "enum": p.variants}
	case image:
		return map[string]any{"type": "string", "minLength": 1, "maxLength": maxText}
	}
	return map[string]any{"type": "string", "maxLength": maxText}
}
