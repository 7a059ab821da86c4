package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/operatorkey"
	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/site/artifact"
)

// storeFlags are the options of commands that use the store of this host.
type storeFlags struct {
	dir       string
	floor     string
	builders  string
	operators string
	unlisted  bool // no file of this host says which keys sign
}

func (a *app) artifactCommand() *cobra.Command {
	f := &storeFlags{}
	c := &cobra.Command{
		Use:   "artifact",
		Short: "Make, check and keep what hosts run: signed artifacts in a store",
		Long: `An artifact is one service in one version for one platform: its files, how it is
run, and the signature of a builder. It never changes. A store is a directory in
OCI image layout. REF is SERVICE/VERSION, SERVICE/VERSION/OS/ARCH or a digest.

The file of builders has the form of allowed_signers, as that of operators has:
  skerry operator add --file /etc/skerry/builders \
      --namespaces skerry-artifact,skerry-bundle li li.pub`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f.register(c)
	c.AddCommand(a.artifactMakeCommand(f), a.artifactLsCommand(f), a.artifactShowCommand(f), a.artifactVerifyCommand(f),
		a.artifactSignCommand(f), a.artifactPinCommand(f), a.artifactUnpinCommand(f), a.artifactUnpackCommand(f),
		a.artifactGCCommand(f))
	return c
}

func (f *storeFlags) register(c *cobra.Command) {
	set := c.PersistentFlags()
	set.StringVar(&f.dir, "store", "", "`DIR` of the store (default $SKERRY_STORE, else that of the system or, for "+
		"other users than root, of the user)")
	set.StringVar(&f.floor, "floor", "1GiB", "`SIZE` that stays free on the store's disk")
	set.StringVar(&f.builders, "builders", "", "`FILE` of builders (default "+systemFile("builders")+")")
	set.StringVar(&f.operators, "operators", "", "`FILE` of operators (default site.operators, else "+
		systemFile("operators")+")")
	c.MarkPersistentFlagDirname("store")
	c.MarkPersistentFlagFilename("builders")
	c.MarkPersistentFlagFilename("operators")
}

// systemFile is a file of this host's administrator.
func systemFile(name string) string {
	if runtime.GOOS == "windows" {
		return filepath.Join(cmp.Or(os.Getenv("ProgramData"), `C:\ProgramData`), "skerry", name)
	}
	return filepath.Join("/etc/skerry", name)
}

func defaultStore() string {
	if runtime.GOOS == "windows" {
		return systemFile("store")
	}
	if os.Geteuid() == 0 {
		return "/var/lib/skerry/store"
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cmp.Or(os.Getenv("XDG_STATE_HOME"), filepath.Join(home, ".local", "state")), "skerry", "store")
}

// open opens the store.
func (f *storeFlags) open() (*artifact.Store, error) { return f.openFor("") }

// openFor opens the store of a host that belongs to a cluster.
func (f *storeFlags) openFor(cluster string) (*artifact.Store, error) {
	floor, err := parseBytes(f.floor)
	if err != nil {
		return nil, usagef("--floor: %w", err)
	}
	dir := cmp.Or(f.dir, os.Getenv("SKERRY_STORE"), defaultStore())
	if dir == "" {
		return nil, usagef("no store is named; say --store DIR")
	}
	s, err := artifact.Open(dir, artifact.Options{Floor: floor, Cluster: cluster})
	if err != nil {
		return nil, problemf("%w", err)
	}
	return s, nil
}

// parseBytes reads a size such as 512MiB.
func parseBytes(text string) (int64, error) {
	digits, factor := text, int64(1)
	for i, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if rest, ok := strings.CutSuffix(text, unit); ok {
			digits, factor = rest, 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > (1<<50)/factor {
		return 0, fmt.Errorf("%q is no size such as 512MiB", text)
	}
	return n * factor, nil
}

func (f *storeFlags) buildersFile() string { return cmp.Or(f.builders, systemFile("builders")) }

// operatorsFile is the file of operators: the option's, the configuration's, or that of this host.
func (f *storeFlags) operatorsFile(a *app) (string, error) {
	if f.operators != "" {
		return f.operators, nil
	}
	c, err := a.config()
	if err != nil {
		return "", err
	}
	return cmp.Or(c.Site.Operators, systemFile("operators")), nil
}

// trustedBuilders reads the file of builders, which says what may run.
func (f *storeFlags) trustedBuilders() (*artifact.Signers, error) {
	s, err := artifact.ReadSigners(f.buildersFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, problemf("%w, so nothing is trusted; copy it from a host that has it, name another one with "+
			"--builders FILE, or begin it: skerry operator add --file %s --namespaces skerry-artifact,skerry-bundle "+
			"NAME KEY.pub", f.noBuilders(), f.buildersFile())
	}
	if err != nil {
		return nil, problemf("%w", err)
	}
	return s, nil
}

// noBuilders says that the file of builders is missing.
func (f *storeFlags) noBuilders() error {
	return fmt.Errorf("there is no file of builders %s", f.buildersFile())
}

// trustedBundlers reads the keys that may sign bundles: of builders, and of operators where there is a file of them.
func (f *storeFlags) trustedBundlers(a *app) (*artifact.Signers, error) {
	operators, err := f.operatorsFile(a)
	if err != nil {
		return nil, err
	}
	files := []string{f.buildersFile()}
	if _, err := os.Stat(operators); f.operators != "" || err == nil {
		files = append(files, operators)
	}
	s, err := artifact.ReadSigners(files...)
	if err != nil {
		return nil, problemf("%w", err)
	}
	return s, nil
}

// signer opens the key of a builder, or of an operator for bundles. The files say whether it may sign; where there is
// none yet any key signs.
func (f *storeFlags) signer(ctx context.Context, a *app, key, namespace string) (*operatorkey.Signer, error) {
	files := []string{f.buildersFile()}
	if namespace == sshsig.Bundle {
		operators, err := f.operatorsFile(a)
		if err != nil {
			return nil, err
		}
		files = append(files, operators)
	}
	o := operatorkey.Options{File: key, Namespace: namespace, Unlisted: true}
	for i, file := range files {
		list, err := keyfile.ReadOperators(file)
		named := i == 0 && f.builders != "" || i == 1 && f.operators != ""
		if errors.Is(err, fs.ErrNotExist) && !named {
			continue
		}
		if err != nil {
			return nil, problemf("%w", err)
		}
		o.Unlisted = false
		for _, op := range list {
			if op.May(namespace) {
				o.Operators = append(o.Operators, op)
			}
		}
	}
	if o.Unlisted && key == "" {
		return nil, usagef("no file of builders says which key signs; name the key: --key FILE")
	}
	s, err := operatorkey.Open(ctx, o)
	if err != nil {
		return nil, problemf("%w", err)
	}
	f.unlisted = o.Unlisted
	return s, nil
}

// noteUnlisted says after a signature that this host knows of no trusted keys.
func (f *storeFlags) noteUnlisted(a *app, s *operatorkey.Signer) {
	if f.unlisted {
		a.note("signed by the key %s, which no file of builders on this host names; a host takes it when its file does",
			s.Name())
	}
}

// find returns the artifacts that a reference names: one for a digest, one for each platform for a name.
func find(s *artifact.Store, ref string) ([]artifact.Artifact, error) {
	if d, err := artifact.ParseDigest(ref); err == nil {
		one, err := s.Get(d)
		if err != nil {
			return nil, problemf("%w", err)
		}
		return []artifact.Artifact{one}, nil
	}
	all, err := s.List()
	var found []artifact.Artifact
	for _, one := range all {
		digits, isDigest := strings.CutPrefix(ref, "sha256:")
		name := one.Manifest.Name()
		named := strings.Contains(ref, "/") && (name == ref || strings.HasPrefix(name, ref+"/"))
		if named || isDigest && len(digits) >= 6 && strings.HasPrefix(one.Digest.Hex(), digits) {
			found = append(found, one)
		}
	}
	if len(found) == 0 && err != nil {
		return nil, problemf("%w", err)
	}
	if len(found) == 0 {
		return nil, problemf("%q is no artifact of %s; write SERVICE/VERSION, SERVICE/VERSION/OS/ARCH or a digest; "+
			"skerry artifact ls shows them", ref, s.Dir())
	}
	return found, nil
}

// findOne is find for a reference that must name one artifact.
func findOne(s *artifact.Store, ref string) (artifact.Artifact, error) {
	found, err := find(s, ref)
	if err != nil {
		return artifact.Artifact{}, err
	}
	if len(found) > 1 {
		var names []string
		for _, one := range found {
			names = append(names, one.Manifest.Name())
		}
		return artifact.Artifact{}, usagef("%s names several artifacts: %s; write one of them", ref,
			strings.Join(names, ", "))
	}
	return found[0], nil
}

// sizeText is a size for people.
func sizeText(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
