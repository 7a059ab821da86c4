package dynamic

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.uber.org/thriftrw/compile"

	"github.com/skerry/skerry/internal/textfile"
)

// File is a compiled .thrift file with all files that it includes.
type File struct {
	Path   string
	module *compile.Module
}

// Load compiles the .thrift file at path. It searches includes beside the including file, then
// under the directories of include, in order.
func Load(path string, include ...string) (*File, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("read thrift file: %w", err)
	}
	files := &searchPath{dirs: include}
	return compiled(path, files, &files.numbered)
}

// LoadTexts compiles the .thrift file of this name among texts, without any access to the disk. Names are absolute
// paths with slashes.
func LoadTexts(name string, texts map[string][]byte) (*File, error) {
	if _, known := texts[name]; !known {
		return nil, fmt.Errorf("read thrift file: %q is not among the texts", name)
	}
	files := &textFiles{texts: texts}
	return compiled(name, files, &files.numbered)
}

// compiled compiles the file at a path of a file system, which sets numbered when it has adapted arguments.
func compiled(path string, files compile.FS, numbered *bool) (*File, error) {
	module, err := compile.Compile(path, compile.NonStrict(), compile.Filesystem(files))
	if err != nil {
		return nil, fmt.Errorf("read thrift file: %s", oneLine(err.Error()))
	}
	if *numbered {
		err = module.Walk(func(m *compile.Module) error { trueIDs(m); return nil })
	}
	if err != nil {
		return nil, fmt.Errorf("read thrift file: %w", err)
	}
	return &File{Path: path, module: module}, nil
}

// textFiles are the files that the compiler sees, in memory.
type textFiles struct {
	texts    map[string][]byte
	numbered bool // a file had arguments without ids
}

// Abs gives two spellings of one file one name.
func (f *textFiles) Abs(p string) (string, error) { return path.Clean("/" + filepath.ToSlash(p)), nil }

// Read returns a text, adapted for the parser.
func (f *textFiles) Read(p string) ([]byte, error) {
	text, known := f.texts[p]
	if !known {
		return nil, fmt.Errorf("%q was not sent", path.Base(p))
	}
	text, err := textfile.Plain(text)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path.Base(p), err)
	}
	text, numbered := adapt(text)
	f.numbered = f.numbered || numbered
	return text, nil
}

// Services lists the services that the file itself declares, by name.
func (f *File) Services() []*Service {
	var all []*Service
	for _, name := range slices.Sorted(maps.Keys(f.module.Services)) {
		all = append(all, &Service{Name: name, spec: f.module.Services[name]})
	}
	return all
}

// Find chooses the service of a call. A name must be the service's own. Without a name, Find
// chooses the only service of the file, or the one with a name like hint (its registered name), or
// the only one that has the method.
func (f *File) Find(name, hint, method string) (*Service, error) {
	all := f.Services()
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.Name
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s declares no service", f.Path)
	}
	if name != "" {
		if i := slices.Index(names, name); i >= 0 {
			return all[i], nil
		}
		return nil, fmt.Errorf("%s has no service %q%s; it declares %s", f.Path, name, didYouMean(name, names),
			strings.Join(names, ", "))
	}
	if len(all) == 1 {
		return all[0], nil
	}
	if i := slices.IndexFunc(all, func(s *Service) bool { return resembles(s.Name, hint) }); i >= 0 {
		return all[i], nil
	}
	having := slices.DeleteFunc(slices.Clone(all), func(s *Service) bool { return s.lookup(method) == nil })
	if len(having) == 1 {
		return having[0], nil
	}
	return nil, fmt.Errorf("%s declares several services (%s); choose one with --interface", f.Path,
		strings.Join(names, ", "))
}

// resembles compares an IDL name with a registered one: AuthService resembles auth, auth-service
// and site.auth.
func resembles(idl, registered string) bool {
	plain := func(s string) string {
		s = s[strings.LastIndexByte(s, '.')+1:]
		s = strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s))
		return strings.TrimSuffix(s, "service")
	}
	return registered != "" && plain(idl) == plain(registered)
}

// searchPath is the file system that the compiler sees: the real one, with
// directories to fall back on for includes.
type searchPath struct {
	dirs     []string
	numbered bool // a file had arguments without ids
}

// Abs leaves the resolution of the path to Read, so that two spellings of one included file are one
// module.
func (s *searchPath) Abs(p string) (string, error) {
	p, err := filepath.Abs(p)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(p); err == nil {
		return p, nil
	}
	parts := strings.Split(filepath.ToSlash(p), "/")
	for i := 1; i < len(parts); i++ { // the longest tail first
		for _, dir := range s.dirs {
			candidate := filepath.Join(dir, filepath.Join(parts[i:]...))
			if _, err := os.Stat(candidate); err == nil {
				return filepath.Abs(candidate)
			}
		}
	}
	return p, nil
}

// maxFile bounds a .thrift file.
const maxFile = 8 << 20

// Read reads a file that Abs has resolved, adapted for the parser.
func (s *searchPath) Read(p string) ([]byte, error) {
	text, err := readFile(p)
	if err != nil {
		return nil, err
	}
	if text, err = textfile.Plain(text); err != nil { // comments may be in any encoding
		return nil, fmt.Errorf("%q: %w", p, err)
	}
	text, numbered := adapt(text)
	s.numbered = s.numbered || numbered
	return text, nil
}

// oneLine joins the compiler's indented lines.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
