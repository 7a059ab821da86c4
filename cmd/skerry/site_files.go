package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/site/join"
)

// hostFile is a file of a host of a site.
type hostFile struct {
	File string `json:"file"`
	Made bool   `json:"made"` // by this command; else it was there, and stays
	What string `json:"what"`

	mode fs.FileMode
	text string
}

// hostName is the name of this host in plans.
func (f *hostFlags) hostName() (string, error) {
	name := f.host
	if name == "" {
		own, err := os.Hostname()
		if err != nil {
			return "", usagef("the system does not tell its name: %w; say --host NAME", err)
		}
		name = own
	}
	if err := registry.CheckName("host", name); err != nil {
		return "", usagef("%w; say --host NAME", err)
	}
	return name, nil
}

// check makes the paths absolute, and checks the labels.
func (f *hostFlags) check() (err error) {
	for name, value := range f.labels {
		if err := errors.Join(registry.CheckName("label", name), registry.CheckName("value", value)); err != nil {
			return usagef("--label: %w", err)
		}
	}
	if f.dir, err = filepath.Abs(f.dir); err != nil {
		return usagef("--dir: %w", err)
	}
	if f.state != "" {
		if f.state, err = filepath.Abs(f.state); err != nil {
			return usagef("--state: %w", err)
		}
	}
	return nil
}

func (f *hostFlags) path(name string) string { return filepath.Join(f.dir, name) }

func keyName(cluster string) string { return cluster + ".key" }

// The names of the files of a host.
const (
	siteConfigName = "skerry.yaml"
	agentName      = "agent.yaml"
	operatorsName  = "operators"
	buildersName   = "builders"
	authorityName  = "ca.pem"
	authorityKey   = "ca.key"
	hostCertName   = "host.pem"
	hostKeyName    = "host.key"
	databaseName   = "database.url"
)

// siteConfig is the configuration by which commands, the agent and services of this host find the site.
func (f *hostFlags) siteConfig(m join.Membership) string {
	var b strings.Builder
	line := func(format string, args ...any) { b.WriteString(fmt.Sprintf(format+"\n", args...)) }
	line("# skerry: by this the processes of this host find the site.")
	line("cluster: %s", scalar(m.Cluster))
	line("mode: %s", scalar(m.Mode))
	line("site:")
	if f.dir != systemDir() {
		line("  keys: %s", scalar(f.path(keyName(m.Cluster))))
	}
	line("  operators: %s", scalar(f.path(operatorsName)))
	if m.Database != "" {
		line("database:\n  url: \"${file:%s}\"", filepath.ToSlash(f.path(databaseName)))
	}
	if len(m.Seeds) == 0 && m.Port == 0 && m.Ports == 0 {
		return b.String()
	}
	line("lan:")
	if m.Port != 0 {
		line("  port: %d", m.Port)
	}
	if m.Ports != 0 {
		line("  ports: %d", m.Ports)
	}
	if len(m.Seeds) > 0 {
		line("  seeds: %s", flowList(m.Seeds))
	}
	return b.String()
}

// agentConfig is the configuration of the agent of this host.
func (f *hostFlags) agentConfig(cluster, host string) string {
	var b strings.Builder
	line := func(format string, args ...any) { b.WriteString(fmt.Sprintf(format+"\n", args...)) }
	line("# skerry agent: what may run on this host, and by which keys.")
	line("cluster: %s\nhost: %s", scalar(cluster), scalar(host))
	line("site: %s", scalar(f.path(siteConfigName)))
	if len(f.users) > 0 {
		line("users: %s", flowList(f.users))
	}
	if len(f.labels) > 0 {
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(f.labels)) {
			parts = append(parts, scalar(name)+": "+scalar(f.labels[name]))
		}
		line("labels: {%s}", strings.Join(parts, ", "))
	}
	if f.dir != systemDir() {
		line("plan: %s\noperators: %s\nbuilders: %s\nsecrets: %s", scalar(f.path("plan.yaml")),
			scalar(f.path(operatorsName)), scalar(f.path(buildersName)), scalar(f.path("secrets")))
	}
	if f.state != "" {
		line("dir: %s\nstore: {dir: %s}", scalar(f.agentDir()), scalar(f.storeDir()))
	}
	return b.String()
}

func flowList(texts []string) string {
	var parts []string
	for _, text := range texts {
		parts = append(parts, scalar(text))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// membershipFiles are the files of any host of a site.
func (f *hostFlags) membershipFiles(m join.Membership, host string) []hostFile {
	files := []hostFile{
		{f.path(keyName(m.Cluster)), false, "the site's key", 0o600, m.Keys},
		{f.path(operatorsName), false, "the keys that sign plans, releases and policies", 0o644, m.Operators},
	}
	if m.Builders != "" {
		files = append(files, hostFile{f.path(buildersName), false, "the keys that sign artifacts", 0o644, m.Builders})
	}
	if m.Database != "" {
		files = append(files, hostFile{f.path(databaseName), false, "the address of the site's database", 0o600,
			m.Database + "\n"})
	}
	return append(files,
		hostFile{f.path(siteConfigName), false, "by which processes find the site", 0o644, f.siteConfig(m)},
		hostFile{f.path(agentName), false, "the configuration of the agent", 0o644, f.agentConfig(m.Cluster, host)})
}

// writeHostFiles makes the files that are not there. After an error none of them is.
func writeHostFiles(files []hostFile) (err error) {
	var made []string
	defer func() {
		if err == nil {
			return
		}
		for _, path := range made {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	for i, file := range files {
		dir := filepath.Dir(file.File)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		to, err := os.OpenFile(file.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, file.mode)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		made = append(made, file.File)
		_, err = to.WriteString(file.text)
		if err := errors.Join(err, to.Chmod(file.mode), to.Sync(), to.Close()); err != nil {
			return err
		}
		files[i].Made = true
	}
	return nil
}

// present are those of the files that are there.
func present(files ...string) (there []string) {
	for _, file := range files {
		if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
			there = append(there, file)
		}
	}
	return there
}

// printHostFiles prints a table of files.
func (a *app) printHostFiles(files []hostFile) {
	var rows [][]string
	for _, file := range files {
		deed := "kept"
		if file.Made {
			deed = "made"
		}
		mode := ""
		if file.Made {
			mode = strconv.FormatUint(uint64(file.mode), 8)
		}
		rows = append(rows, []string{file.File, deed, mode, file.What})
	}
	a.printTable([]string{"FILE", "IS", "MODE", "WHAT IT IS"}, rows)
}
