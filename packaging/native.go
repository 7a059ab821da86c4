package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // registers the format
	nfpmfiles "github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm" // registers the format
)

// native writes the deb and the rpm. work is the directory from which nfpm reads the files.
func (r *release) native(work, arch string, files []file) error {
	var contents nfpmfiles.Contents
	for _, f := range files {
		source := filepath.Join(work, f.installed)
		if err := os.MkdirAll(filepath.Dir(source), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(source, f.data, 0o644); err != nil {
			return err
		}
		contents = append(contents, &nfpmfiles.Content{Source: source, Destination: f.installed,
			FileInfo: r.owned(os.FileMode(f.mode))})
	}
	contents = append(contents, &nfpmfiles.Content{Destination: "/etc/skerry", Type: nfpmfiles.TypeDir,
		FileInfo: r.owned(0o755)})
	for _, format := range []string{"deb", "rpm"} {
		packager, err := nfpm.Get(format)
		if err != nil {
			return err
		}
		info := nfpm.WithDefaults(&nfpm.Info{
			Name: "skerry", Arch: arch, Platform: "linux", Version: r.version, Release: "1", Section: "net",
			Priority: "optional", Maintainer: "The skerry authors <skerry@localhost>", License: "Apache-2.0",
			Description:     "Service registry and Thrift RPC for networks without a way out",
			DisableGlobbing: true, MTime: r.when,
			Overridables: nfpm.Overridables{Contents: contents, RPM: nfpm.RPM{BuildHost: "localhost"}},
		})
		name := fmt.Sprintf("skerry-%s-linux-%s.%s", r.version, arch, format)
		if err := r.write(name, func(w io.Writer) error { return packager.Package(info, w) }); err != nil {
			return err
		}
	}
	return nil
}

// owned is the owner and mode of a file that root installs.
func (r *release) owned(mode os.FileMode) *nfpmfiles.ContentFileInfo {
	return &nfpmfiles.ContentFileInfo{Owner: "root", Group: "root", Mode: mode, MTime: r.when}
}
