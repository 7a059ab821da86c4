package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// release is one run: what is built from which tree, and where it goes.
type release struct {
	root    string // of the repository
	out     string // directory of the packages
	version string // without a leading v
	when    time.Time
	key     string // SSH key that signs the sums; "" signs nothing
}

// semantic is a version that archives, deb and rpm can carry.
var semantic = regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "packaging:", err)
		os.Exit(1)
	}
}

func run() error {
	r := release{}
	var platforms string
	flag.StringVar(&r.root, "root", "..", "`DIRECTORY` of the repository")
	flag.StringVar(&r.out, "out", "../dist", "`DIRECTORY` for the packages; it must be empty or absent")
	flag.StringVar(&r.version, "version", os.Getenv("VERSION"), "`VERSION` such as 1.2.0 (default: from the commit)")
	flag.StringVar(&r.key, "key", os.Getenv("SKERRY_DIST_KEY"), "`FILE` of an SSH key that signs SHA256SUMS")
	flag.StringVar(&platforms, "platforms", "linux/amd64 linux/arm64 linux/loong64 windows/amd64",
		"systems to build for")
	flag.Parse()
	if err := r.date(); err != nil {
		return err
	}
	return r.make(strings.Fields(platforms))
}

// date fills in time and version from the commit, where they are not given.
func (r *release) date() error {
	seconds := os.Getenv("SOURCE_DATE_EPOCH")
	if seconds == "" || r.version == "" {
		text, err := output(r.root, nil, "git", "log", "-1", "--format=%ct %H")
		if err != nil {
			return fmt.Errorf("no commit to name the packages by: give SOURCE_DATE_EPOCH and -version: %w", err)
		}
		committed, hash, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
		if seconds == "" {
			seconds = committed
		}
		if r.version == "" {
			n, err := strconv.ParseInt(committed, 10, 64)
			if err != nil {
				return fmt.Errorf("git log: time %q: %w", committed, err)
			}
			r.version = "0.0.0-" + time.Unix(n, 0).UTC().Format("20060102150405") + "." + hash[:12]
		}
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH=%q: want seconds since 1970", seconds)
	}
	r.when = time.Unix(n, 0).UTC()
	r.version = strings.TrimPrefix(r.version, "v")
	return nil
}

// make builds all packages.
func (r *release) make(platforms []string) error {
	if !semantic.MatchString(r.version) {
		return fmt.Errorf("version %q: want MAJOR.MINOR.PATCH, such as 1.2.0 or 1.2.0-rc.1", r.version)
	}
	if old, err := os.ReadDir(r.out); err == nil && len(old) > 0 {
		return fmt.Errorf("%s holds %s: remove it first", r.out, old[0].Name())
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "skerry-packaging-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	own := filepath.Join(work, "own")
	if err := r.build(own, "", ""); err != nil {
		return err
	}
	pages, err := helpPages(own, r.version, r.when)
	if err != nil {
		return err
	}
	for _, p := range platforms {
		system, arch, _ := strings.Cut(p, "/")
		fmt.Println("packaging", r.version, p)
		if err := r.platform(filepath.Join(work, system+"-"+arch), system, arch, pages); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return r.sums()
}

// build builds the command for a system, "" for this one.
func (r *release) build(file, system, arch string) error {
	env := []string{"CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=", "GOOS=" + system, "GOARCH=" + arch}
	_, err := output(r.root, env, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags=-s -w -buildid= -X main.version="+r.version, "-o", file, "./cmd/skerry")
	return err
}

// output runs a program in dir and returns what it prints. Its error ends with what the program says.
func output(dir string, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var said strings.Builder
	cmd.Stderr = &said
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(said.String()))
	}
	return text, nil
}
