package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"sync"
)

//go:embed web/static
var staticFiles embed.FS

// static has the files that pages load, by name. The address of a file has its hash, so that browsers keep it for ever
// and never keep an old one.
var static = sync.OnceValue(readStatic)

type staticFile struct {
	content []byte
	hash    string
	kind    string
}

func readStatic() map[string]staticFile {
	files := map[string]staticFile{}
	list, err := fs.ReadDir(staticFiles, "web/static")
	if err != nil {
		panic(err)
	}
	for _, e := range list {
		content, err := fs.ReadFile(staticFiles, path.Join("web/static", e.Name()))
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(content)
		files[e.Name()] = staticFile{content, hex.EncodeToString(sum[:6]), mime.TypeByExtension(path.Ext(e.Name()))}
	}
	return files
}

// staticPath is the address of a file.
func staticPath(name string) string { return "/static/" + static()[name].hash + "/" + name }

func serveStatic(w http.ResponseWriter, r *http.Request) {
	f, ok := static()[r.PathValue("name")]
	if !ok || f.hash != r.PathValue("hash") {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Content-Type", f.kind)
	w.Write(f.content)
}
