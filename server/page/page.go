// Package page is the search page: HTML, a style sheet and small JavaScript modules, which talk
// only to the API of the server that they come from. There is no build step.
package page

import (
	"embed"
	"path"
)

//go:embed page.html page.css icon.svg *.js
var files embed.FS

// Policy is the page's Content-Security-Policy: scripts and styles are files of this directory, and
// pictures come from the server or are the user's own. Trusted Types are required but no policy may
// create them, so no string can become HTML.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// HTML is the page itself. Its URLs are relative, for proxies that add a path prefix: it refers to
// its files as page/NAME.
func HTML() []byte {
	file, _ := files.ReadFile("page.html")
	return file
}

// Asset returns a file that the page refers to, and its media type; ok reports whether it exists.
func Asset(name string) (file []byte, kind string, ok bool) {
	kind = map[string]string{".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}[path.Ext(name)]
	if kind == "" {
		return nil, "", false
	}
	file, err := files.ReadFile(name)
	return file, kind, err == nil
}
