package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

//go:embed units/*.service
var units embed.FS

// platform writes the packages for one system.
func (r *release) platform(program, system, arch string, pages []file) error {
	if err := r.build(program, system, arch); err != nil {
		return err
	}
	files, err := r.files(program, system, pages)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("skerry-%s-%s-%s", r.version, system, arch)
	if err := r.sbom(program, name+".cdx.json"); err != nil {
		return err
	}
	if system == "windows" {
		return r.write(name+".zip", func(w io.Writer) error { return writeZip(w, name, files, r.when) })
	}
	if err := r.write(name+".tar.gz", func(w io.Writer) error { return writeTar(w, name, files, r.when) }); err != nil {
		return err
	}
	return r.native(program+".files", arch, files)
}

// files returns the files of the packages for a system, sorted by their names in the archive.
func (r *release) files(program, system string, pages []file) ([]file, error) {
	data, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	licences, err := r.licences(program)
	if err != nil {
		return nil, err
	}
	const doc = "/usr/share/doc/skerry/"
	files := []file{
		{name: "skerry", installed: "/usr/bin/skerry", data: data, mode: 0o755},
		{name: "THIRD-PARTY.txt", installed: doc + "THIRD-PARTY.txt", data: licences, mode: 0o644},
	}
	if system == "windows" {
		files[0].name = "skerry.exe"
	}
	for _, name := range []string{"LICENSE", "README.md", "README.zh-CN.md", "CHANGELOG.md"} {
		text, err := os.ReadFile(filepath.Join(r.root, name))
		if err != nil {
			return nil, err
		}
		installed := doc + name
		if name == "LICENSE" {
			installed = doc + "copyright" // the name that Debian looks for
		}
		files = append(files, file{name: name, installed: installed, data: text, mode: 0o644})
	}
	if system != "windows" {
		files = append(files, pages...)
		entries, err := units.ReadDir("units")
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			text, err := units.ReadFile("units/" + e.Name())
			if err != nil {
				return nil, err
			}
			files = append(files, file{name: "systemd/" + e.Name(), installed: "/usr/lib/systemd/system/" + e.Name(),
				data: text, mode: 0o644})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Compare(a.name, b.name) })
	return files, nil
}

// write writes a file into the directory of the packages.
func (r *release) write(name string, content func(io.Writer) error) error {
	var b bytes.Buffer
	if err := content(&b); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(filepath.Join(r.out, name), b.Bytes(), 0o644)
}

func writeTar(w io.Writer, top string, files []file, when time.Time) error {
	zipped := gzip.NewWriter(w)
	out := tar.NewWriter(zipped)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: top + "/" + f.name, Size: int64(len(f.data)), Mode: f.mode,
			ModTime: when, Uname: "root", Gname: "root", Format: tar.FormatUSTAR}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := out.Write(f.data); err != nil {
			return err
		}
	}
	if err := out.Close(); err != nil {
		return err
	}
	return zipped.Close()
}

func writeZip(w io.Writer, top string, files []file, when time.Time) error {
	out := zip.NewWriter(w)
	for _, f := range files {
		h := &zip.FileHeader{Name: top + "/" + f.name, Method: zip.Deflate, Modified: when}
		h.SetMode(os.FileMode(f.mode))
		part, err := out.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := part.Write(f.data); err != nil {
			return err
		}
	}
	return out.Close()
}

// sums writes SHA256SUMS, and signs it where a key is given.
func (r *release) sums() error {
	entries, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	var list strings.Builder
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(r.out, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&list, "%x  %s\n", sha256.Sum256(data), e.Name())
	}
	path := filepath.Join(r.out, "SHA256SUMS")
	if err := os.WriteFile(path, []byte(list.String()), 0o644); err != nil || r.key == "" {
		return err
	}
	_, err = output("", nil, "ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", r.key, path)
	return err
}
