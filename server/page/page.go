// Package page is the search page: HTML, a style sheet and small modules of
// JavaScript, which speak to the API of the server that they come from and to nobody
// else. There is nothing to build.
package page

import (
	"embed"
	"path"
)

//go:embed page.html page.css icon.svg *.js
var files embed.FS

// Policy is the Content-Security-Policy that the page keeps to: scripts and styles are
// files of this folder, pictures come from the server or are the user's own. Types of
// trusted texts that nothing makes keep texts from becoming HTML.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// HTML is the page itself. Its addresses are relative, for proxies that put a path in
// front: it names its files as page/NAME.
func HTML() []byte {
	file, _ := files.ReadFile("page.html")
	return file
}

// Asset is a file that the page names, and its media type; ok tells whether there is one.
func Asset(name string) (file []byte, kind string, ok bool) {
	kind = map[string]string{".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}[path.Ext(name)]
	if kind == "" {
		return nil, "", false
	}
	file, err := files.ReadFile(name)
	return file, kind, err == nil
}
