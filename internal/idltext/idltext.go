package idltext

import (
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
)

// File is the text of one file. Its name is a slash-separated absolute path in a tree of its own, in which includes
// lead from file to file as they do on the disk; it tells nothing of the host's directories.
type File struct {
	Name string
	Text []byte
}

// Bounds of what is read.
const (
	MaxFiles = 64
	MaxBytes = 256 << 10          // of all files
	root     = "/1/2/3/4/5/6/7/8" // of the first file, so that ".." of includes stays in the tree
)

var include = regexp.MustCompile(`(?m)^[ \t]*include[ \t]+["']([^"'\r\n]+)["']`)

// Read reads the file at a path, which comes first, and those that it includes: beside the including file, or else
// below the directories, in their order. An included file that is not found is left out, as its line may be a comment.
func Read(file string, dirs ...string) ([]File, error) {
	r := reader{dirs: dirs, known: map[string]bool{}}
	if err := r.read(path.Join(root, filepath.Base(file)), file); err != nil {
		return nil, fmt.Errorf("read thrift file: %w", err)
	}
	return r.files, nil
}

type reader struct {
	dirs  []string
	known map[string]bool // by name
	files []File
	bytes int
}

func (r *reader) read(name, file string) error {
	r.known[name] = true
	if len(r.files) == MaxFiles {
		return fmt.Errorf("more than %d files are included", MaxFiles)
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(f, int64(MaxBytes-r.bytes)+1))
	f.Close()
	if err != nil {
		return err
	}
	if r.bytes += len(text); r.bytes > MaxBytes {
		return fmt.Errorf("%s and the files before it have more than %d KiB", file, MaxBytes>>10)
	}
	r.files = append(r.files, File{name, text})
	for _, m := range include.FindAllSubmatch(text, -1) {
		next := string(m[1])
		if filepath.IsAbs(next) {
			continue
		}
		there := path.Join(path.Dir(name), filepath.ToSlash(next))
		found, ok := r.find(filepath.Dir(file), next)
		if r.known[there] || !ok {
			continue
		}
		if err := r.read(there, found); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) find(beside, name string) (string, bool) {
	for _, dir := range append([]string{beside}, r.dirs...) {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file, true
		}
	}
	return "", false
}
