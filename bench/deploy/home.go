package deploy

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/skerry/skerry/bench/deploy/steps"
)

// home is a directory with everything that can be made before the visit. What is there already is used
// as it is.
type home struct{ dir string }

func (h home) path(names ...string) string {
	return filepath.Join(append([]string{h.dir}, names...)...)
}

// program is a service: kind is plain or embedded.
func (h home) program(kind, version, service string) string { return h.path(kind, version, service) }

// newHome builds programs, and with a column B the Eureka server.
func newHome(ctx context.Context, dir, source string, columns []column) (home, error) {
	h := home{dir}
	kinds := map[string]bool{}
	for _, c := range columns {
		for _, kind := range c.needs {
			kinds[kind] = true
		}
	}
	for _, kind := range []string{"plain", "embedded"} {
		for i := 0; kinds[kind] && i < len(steps.Names); i++ {
			if err := h.service(ctx, source, kind, "v1", steps.Names[i]); err != nil {
				return h, err
			}
		}
		if kinds[kind] {
			if err := h.service(ctx, source, kind, "v2", "proc"); err != nil {
				return h, err
			}
		}
	}
	if kinds["embedded"] {
		err := h.make(h.path("skerry"), func(out string) error {
			_, err := tool(ctx, filepath.Join(source, ".."), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", out,
				"./cmd/skerry")
			return err
		})
		if err != nil {
			return h, err
		}
	}
	if kinds["eureka"] {
		return h, h.eureka(ctx)
	}
	return h, nil
}

// make makes a file or directory, whole or not at all.
func (h home) make(path string, build func(out string) error) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	say("making %s", path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := build(path + ".part"); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

func (h home) service(ctx context.Context, source, kind, version, name string) error {
	return h.make(h.program(kind, version, name), func(out string) error {
		_, err := tool(ctx, source, "go", "build", "-trimpath", "-ldflags=-s -w -X main.service="+name+
			" -X main.version="+version, "-o", out, "./deploy/"+kind)
		return err
	})
}

// eureka brings the server's libraries by Maven, compiles its main class, and makes a Java runtime with the modules
// that it needs: nothing says that the hosts have one.
func (h home) eureka(ctx context.Context) error {
	work := h.path("eureka-source")
	for _, name := range []string{"pom.xml", "Eureka.java"} {
		text, err := embedded.ReadFile("eureka/" + name)
		if err != nil {
			return err
		}
		if err := put(filepath.Join(work, name), string(text), 0o644); err != nil {
			return err
		}
	}
	err := h.make(h.path("eureka", "lib"), func(out string) error {
		_, err := tool(ctx, work, "mvn", "-q", "-B",
			"org.apache.maven.plugins:maven-dependency-plugin:3.7.0:copy-dependencies", "-DincludeScope=runtime",
			"-DoutputDirectory="+out)
		return err
	})
	if err != nil {
		return err
	}
	err = h.make(h.path("eureka", "classes"), func(out string) error {
		_, err := tool(ctx, work, "javac", "-cp", h.path("eureka", "lib")+"/*", "-d", out, "Eureka.java")
		return err
	})
	if err != nil {
		return err
	}
	return h.make(h.path("eureka", "jre"), func(out string) error {
		_, err := tool(ctx, work, "jlink", "--strip-java-debug-attributes", "--no-header-files", "--no-man-pages",
			"--compress=2", "--output", out, "--add-modules", "java.base,java.desktop,java.instrument,java.logging,"+
				"java.management,java.naming,java.net.http,java.security.jgss,java.sql,jdk.crypto.ec,jdk.unsupported")
		return err
	})
}
