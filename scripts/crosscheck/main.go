package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

func main() {
	if err := run(".", os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "crosscheck:", err)
		os.Exit(1)
	}
}

// run checks the module in dir for each target, as many at a time as there are processors.
func run(dir string, targets []string) error {
	var (
		files = &parsed{set: token.NewFileSet(), all: map[string]*file{}}
		found = make([]error, len(targets))
		slots = make(chan struct{}, runtime.GOMAXPROCS(0))
		wait  sync.WaitGroup
	)
	for i, target := range targets {
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			n, err := check(dir, target, files)
			if err != nil {
				err = fmt.Errorf("%s: %w", target, err)
			}
			found[i] = err
			if err == nil {
				fmt.Printf("check %s: %d packages of the module\n", target, n)
			}
		})
	}
	wait.Wait()
	return errors.Join(found...)
}

// listed is a package as "go list" describes it. Its variants with test files are packages of their own.
type listed struct {
	ImportPath, Dir string
	GoFiles         []string
	ImportMap       map[string]string // import path in a file → ImportPath of the package
	Standard        bool
	Module          *struct {
		Main      bool
		GoVersion string
	}
}

// own reports whether the package is part of the module.
func (p *listed) own() bool { return p.Module != nil && p.Module.Main }

// check checks all packages for one target. It returns how many of them are the module's, or all that is wrong.
func check(dir, target string, files *parsed) (n int, err error) {
	system, processor, ok := strings.Cut(target, "/")
	sizes := types.SizesFor("gc", processor)
	if !ok || sizes == nil {
		return 0, errors.New("not a target like linux/arm64")
	}
	list, err := packages(dir, system, processor)
	if err != nil {
		return 0, err
	}
	tested := map[string]bool{} // packages that are in the list with their test files as well
	for _, p := range list {
		if path, variant, _ := strings.Cut(p.ImportPath, " "); variant == "["+path+".test]" {
			tested[path] = true
		}
	}
	var faults []error
	done := map[string]*types.Package{"unsafe": types.Unsafe}
	for _, p := range list { // what a package imports comes before it
		if p.ImportPath == "unsafe" || strings.HasSuffix(p.ImportPath, ".test") {
			continue // the main package of a test is generated
		}
		done[p.ImportPath], err = p.check(sizes, p.own() && !tested[p.ImportPath], done, files)
		faults = append(faults, err)
		if p.own() {
			n++
		}
	}
	return n, errors.Join(faults...)
}

// packages lists the packages of the module in dir, their tests, and all that these import.
func packages(dir, system, processor string) ([]*listed, error) {
	c := exec.Command("go", "list", "-deps", "-test", "-json=ImportPath,Dir,GoFiles,ImportMap,Standard,Module", "./...")
	c.Dir, c.Stderr = dir, os.Stderr
	c.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+processor, "CGO_ENABLED=0")
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var list []*listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		p := &listed{}
		if err := d.Decode(p); errors.Is(err, io.EOF) {
			return list, nil
		} else if err != nil {
			return nil, fmt.Errorf("read the list of packages: %w", err)
		}
		list = append(list, p)
	}
}

// importer finds the packages that one package imports among those that were checked.
type importer func(path string) (*types.Package, error)

func (i importer) Import(path string) (*types.Package, error) { return i(path) }

// check returns the checked package, and all that is wrong with it. done holds what it imports.
func (p *listed) check(
	sizes types.Sizes,
	bodies bool,
	done map[string]*types.Package,
	files *parsed,
) (*types.Package, error) {
	var all []*ast.File
	for _, name := range p.GoFiles {
		f, err := files.get(filepath.Join(p.Dir, name))
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	var faults []error
	c := types.Config{
		Sizes:            sizes,
		IgnoreFuncBodies: !bodies,
		Error:            func(err error) { faults = append(faults, err) },
		Importer: importer(func(path string) (*types.Package, error) {
			if mapped := p.ImportMap[path]; mapped != "" {
				path = mapped
			}
			if done[path] == nil {
				return nil, fmt.Errorf("%s is not in the list of packages", path)
			}
			return done[path], nil
		}),
	}
	if p.Module != nil && p.Module.GoVersion != "" {
		c.GoVersion = "go" + p.Module.GoVersion
	}
	path, _, _ := strings.Cut(p.ImportPath, " ") // "m/p [m/p.test]" is m/p with its test files
	pkg, _ := c.Check(path, files.set, all, nil)
	return pkg, errors.Join(faults...)
}

// parsed holds the source files that were read. It is safe for concurrent use.
type parsed struct {
	set *token.FileSet
	mu  sync.Mutex
	all map[string]*file
}

type file struct {
	once sync.Once
	ast  *ast.File
	err  error
}

func (p *parsed) get(path string) (*ast.File, error) {
	p.mu.Lock()
	f := p.all[path]
	if f == nil {
		f = &file{}
		p.all[path] = f
	}
	p.mu.Unlock()
	f.once.Do(func() { f.ast, f.err = parser.ParseFile(p.set, path, nil, parser.SkipObjectResolution) })
	return f.ast, f.err
}
