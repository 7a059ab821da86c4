package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/statedir"
)

// examineState reports whether the last known lists can be kept on disk.
func examineState(dir string) []finding {
	f := &findings{area: "State"}
	if dir == "" || dir == "none" {
		f.hint("set state_dir to a directory that outlives a restart",
			"nothing is kept: a start without any registry knows no other process")
		return f.list
	}
	if err := statedir.Check(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		do := quote.Safe("make it a directory that belongs to the user of the service alone, or set state_dir")
		if unsafe, ok := errors.AsType[*statedir.UnsafeError](err); ok {
			do = quote.Sprintf("%s, as root; run skerry doctor as the user of the service; until then the service "+
				"keeps no state", unsafe.Mend)
		}
		f.problem(do, "%v", err)
		return f.list
	}
	if err := writable(dir); err != nil {
		f.problem("make it writable for the user that the service runs as, or set state_dir",
			"%s can't be written to: %v", dir, err)
	} else {
		f.fine("%s can be written to", dir)
	}
	return f.list
}

// writable tries to write below dir. For a missing directory it tries the nearest
// existing parent.
func writable(dir string) error {
	for {
		info, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir {
			dir = filepath.Dir(dir)
			continue
		}
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("%s is no directory", dir)
		}
		break
	}
	file, err := os.CreateTemp(dir, ".skerry-doctor-*")
	if err != nil {
		return err
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}

// examinePort reports whether the services of this configuration could listen.
func examinePort(services []config.Service) []finding {
	f := &findings{area: "Port"}
	seen := map[string]bool{}
	for _, s := range services {
		if seen[s.Listen] {
			continue
		}
		seen[s.Listen] = true
		l, err := net.Listen("tcp", s.Listen)
		if err != nil {
			f.hint("nothing, when the service is running already; else end what holds the port or change "+
				"service.listen",
				"%s can't listen on %s: %v", s.Name, s.Listen, err)
			continue
		}
		l.Close()
		_, port, _ := net.SplitHostPort(s.Listen)
		if port == "0" {
			f.hint("where a firewall is on, give the service a fixed port with service.listen and let it through",
				"%s listens on any free TCP port", s.Name)
		} else {
			f.fine("TCP port %s is free for %s; let it through this host's firewall", port, s.Name)
		}
	}
	return f.list
}
