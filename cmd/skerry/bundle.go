package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/internal/yamlfile"
	"github.com/skerry/skerry/site/artifact"
)

// bundleRecipe says what goes into a bundle. Paths are relative to its file.
type bundleRecipe struct {
	Cluster   string            `yaml:"cluster"`
	Artifacts []string          `yaml:"artifacts"` // references
	Platforms []string          `yaml:"platforms"` // of artifacts named without one; default all
	Plan      string            `yaml:"plan"`      // with PLAN.sig beside it, if there is one
	Skerry    map[string]string `yaml:"skerry"`    // the command skerry, by platform
	Packages  []string          `yaml:"packages"`
	Files     map[string]string `yaml:"files"` // further files by their name in the bundle
}

func (a *app) bundleCommand() *cobra.Command {
	f := &storeFlags{}
	c := &cobra.Command{
		Use:   "bundle",
		Short: "Make, check and import one file that brings artifacts to a site",
		Long: `A bundle is a tar file with artifacts in OCI image layout, the site's plan, the
command skerry for each platform and packages, all named in SHA256SUMS, which is
signed. Without skerry it is checked by:
  tar xf site.skb && sha256sum -c SHA256SUMS &&
  ssh-keygen -Y verify -f /etc/skerry/builders -I NAME -n skerry-bundle \
      -s SHA256SUMS.sig < SHA256SUMS`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f.register(c)
	c.AddCommand(a.bundleMakeCommand(f), a.bundleShowCommand(f), a.bundleVerifyCommand(f), a.bundleImportCommand(f))
	return c
}

func (a *app) bundleMakeCommand(f *storeFlags) *cobra.Command {
	out, key := "", ""
	c := &cobra.Command{
		Use:   "make RECIPE.yaml|REF…",
		Short: "Write a bundle, and sign it",
		Long: `Takes artifacts from the store, by references or by a recipe:

  cluster: launch-site-2         # leave out for any
  artifacts: [auth/v15, proc/v8]
  platforms: [linux/amd64]       # default all that the store has
  plan: plan.yaml                # and plan.yaml.sig beside it
  skerry: {linux/amd64: bin/skerry, windows/amd64: bin/skerry.exe}
  packages: [dist/skerry-1.0-py3-none-any.whl]

The same artifacts and files make the same bytes.`,
		Example: `  skerry bundle make site.yaml -o site.skb --key ~/.ssh/id_ed25519
  skerry bundle make auth/v15 proc/v8 -o visit.skb`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.bundleMake(cmd.Context(), f, args, out, key)
		},
	}
	c.Flags().StringVarP(&out, "out", "o", "site.skb", "`FILE` to write")
	c.Flags().StringVar(&key, "key", "", "`FILE` of the private key, or of the public key of one in ssh-agent")
	return c
}

func (a *app) bundleMake(ctx context.Context, f *storeFlags, args []string, out, key string) error {
	recipe, dir, err := readRecipe(args)
	if err != nil {
		return err
	}
	s, err := f.open()
	if err != nil {
		return err
	}
	in, err := recipe.input(s, dir)
	if err != nil {
		return err
	}
	signer, err := f.signer(ctx, a, key, sshsig.Bundle)
	if err != nil {
		return err
	}
	defer signer.Close()
	to, err := os.CreateTemp(filepath.Dir(out), "."+filepath.Base(out)+".*")
	if err != nil {
		return problemf("%w", err)
	}
	defer os.Remove(to.Name()) // it is renamed when all went well
	buffer := bufio.NewWriterSize(to, 1<<20)
	b, err := s.WriteBundle(ctx, buffer, in, signer)
	if err == nil {
		err = errors.Join(buffer.Flush(), to.Chmod(0o644), to.Sync())
	}
	if err = errors.Join(err, to.Close()); err == nil {
		err = os.Rename(to.Name(), out)
	}
	if err != nil {
		return problemf("%s is not written: %w", out, err)
	}
	f.noteUnlisted(a, signer)
	b.Signer = signer.Name()
	for i, one := range b.Artifacts {
		r := a.artifactRow(s, f, one)
		if b.Artifacts[i].Signer = r.SignedBy; r.Doubt != "" {
			b.Doubts = append(b.Doubts, one.Manifest.Name()+": "+r.Doubt)
		}
	}
	return a.printBundle(out, b, "")
}

// readRecipe reads the arguments of bundle make: one recipe, or references.
func readRecipe(args []string) (r bundleRecipe, dir string, err error) {
	if !strings.HasSuffix(args[0], ".yaml") && !strings.HasSuffix(args[0], ".yml") {
		return bundleRecipe{Artifacts: args}, ".", nil
	}
	if len(args) > 1 {
		return r, "", usagef("a recipe stands alone; write the other artifacts into it")
	}
	text, err := statedir.ReadNamed(args[0], maxFile)
	if err != nil {
		return r, "", problemf("read the recipe: %w", err)
	}
	if err := yamlfile.Unmarshal(args[0], text, &r); err != nil {
		return r, "", problemf("%w", quote.Errorf("read the recipe: %w", err))
	}
	return r, filepath.Dir(args[0]), nil
}

// input finds the artifacts and the files.
func (r bundleRecipe) input(s *artifact.Store, dir string) (artifact.BundleInput, error) {
	in := artifact.BundleInput{Cluster: r.Cluster, Files: map[string]string{}}
	for _, ref := range r.Artifacts {
		found, err := find(s, ref)
		if err != nil {
			return in, err
		}
		before := len(in.Artifacts)
		for _, one := range found {
			if len(r.Platforms) == 0 || slices.ContainsFunc(r.Platforms, one.Manifest.RunsOn) {
				in.Artifacts = append(in.Artifacts, one.Digest)
			}
		}
		if len(in.Artifacts) == before {
			return in, problemf("the store has %s for none of the platforms %s", ref, strings.Join(r.Platforms, ", "))
		}
	}
	add := func(name, file string) error {
		if other, twice := in.Files[name]; twice {
			return usagef("%s and %s would both be %s in the bundle", other, file, name)
		}
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		in.Files[name] = file
		return nil
	}
	return in, r.addFiles(dir, add)
}

func (r bundleRecipe) addFiles(dir string, add func(name, file string) error) error {
	var failed []error
	if r.Plan != "" {
		failed = append(failed, add("plan.yaml", r.Plan))
		signature := r.Plan + ".sig"
		at := signature
		if !filepath.IsAbs(at) {
			at = filepath.Join(dir, at)
		}
		if _, err := os.Stat(at); err == nil {
			failed = append(failed, add("plan.yaml.sig", signature))
		}
	}
	for _, platform := range slices.Sorted(maps.Keys(r.Skerry)) {
		name := "skerry"
		if strings.HasPrefix(platform, "windows/") {
			name = "skerry.exe"
		}
		failed = append(failed, add("skerry/"+strings.ReplaceAll(platform, "/", "-")+"/"+name, r.Skerry[platform]))
	}
	for _, file := range r.Packages {
		failed = append(failed, add("packages/"+path.Base(filepath.ToSlash(file)), file))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		failed = append(failed, add(name, r.Files[name]))
	}
	return errors.Join(failed...)
}

// openBundle opens a file, or standard input for "-".
func (a *app) openBundle(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(a.in), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, problemf("%w", err)
	}
	return f, nil
}

func (a *app) bundleShowCommand(f *storeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "show FILE|-",
		Short: "Show what a bundle brings, and the keys that have signed it",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			builders, _ := artifact.ReadSigners(f.buildersFile()) // none: the bundle shows doubts
			bundlers, err := f.trustedBundlers(a)
			if err != nil {
				bundlers = nil
			}
			in, err := a.openBundle(args[0])
			if err != nil {
				return err
			}
			defer in.Close()
			b, err := artifact.ReadBundle(cmd.Context(), in, builders, bundlers)
			if err != nil {
				return problemf("%s: %w", args[0], err)
			}
			return a.printBundle(args[0], b, "")
		},
	}
}

func (a *app) bundleVerifyCommand(f *storeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "verify FILE|-",
		Short: "Check the signatures and every byte of a bundle; needs no network",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.trustedBundle(f, args[0], func(in io.Reader, builders, bundlers *artifact.Signers) error {
				b, err := artifact.VerifyBundle(cmd.Context(), in, builders, bundlers)
				if err != nil {
					return problemf("%s is refused: %w", args[0], err)
				}
				return a.printBundle(args[0], b, "")
			})
		},
	}
}

func (a *app) bundleImportCommand(f *storeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE|-",
		Short: "Check a bundle, and add its artifacts to the store",
		Long: `Adds all artifacts of a bundle, or none. An import that was interrupted goes on
where it was when it is run again. Files that belong to no artifact (the plan,
the command skerry, packages) are written to a directory that is printed.`,
		Example: `  skerry bundle import /media/stick/site.skb
  ssh HOST skerry bundle import - < site.skb`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			cluster := c.Cluster
			if cluster == (config.Config{}).WithDefaults().Cluster {
				cluster = "" // this host has no configuration that names one
			}
			s, err := f.openFor(cluster)
			if err != nil {
				return err
			}
			return a.trustedBundle(f, args[0], func(in io.Reader, builders, bundlers *artifact.Signers) error {
				b, err := s.Import(cmd.Context(), in, builders, bundlers)
				if errors.Is(err, context.Canceled) {
					return problemf("the import was interrupted; run it again, and it goes on where it was")
				}
				if err != nil {
					return problemf("%s is not imported: %w", args[0], err)
				}
				dir := ""
				if len(b.Others()) > 0 {
					dir = s.BundleDir(b)
				}
				return a.printBundle(args[0], b, dir)
			})
		},
	}
}

// trustedBundle opens a bundle with the keys that are trusted.
func (a *app) trustedBundle(f *storeFlags, name string, do func(io.Reader, *artifact.Signers,
	*artifact.Signers) error) error {
	builders, err := f.trustedBuilders()
	if err != nil {
		return err
	}
	bundlers, err := f.trustedBundlers(a)
	if err != nil {
		return err
	}
	in, err := a.openBundle(name)
	if err != nil {
		return err
	}
	defer in.Close()
	return do(in, builders, bundlers)
}

// bundleReport is a bundle as commands print it.
type bundleReport struct {
	File      string          `json:"file"`
	Cluster   string          `json:"cluster,omitzero"`
	Digest    artifact.Digest `json:"digest"` // of SHA256SUMS
	SignedBy  string          `json:"signed_by,omitzero"`
	Size      int64           `json:"size"`
	Artifacts []artifactRow   `json:"artifacts"`
	Files     []artifact.File `json:"files"`
	Doubts    []string        `json:"doubts,omitzero"`
	Dir       string          `json:"dir,omitzero"` // where an import has written the files
}

func (a *app) printBundle(file string, b artifact.Bundle, dir string) error {
	r := bundleReport{File: file, Cluster: b.Cluster, Digest: b.Digest, SignedBy: b.Signer, Size: b.Size(),
		Artifacts: []artifactRow{}, Files: append([]artifact.File{}, b.Others()...), Doubts: b.Doubts, Dir: dir}
	for _, one := range b.Artifacts {
		m := one.Manifest
		r.Artifacts = append(r.Artifacts, artifactRow{Service: m.Service, Version: m.Version, Platform: m.Platform,
			Digest: one.Digest, Size: m.Size(), SignedBy: one.Signer})
	}
	if a.flags.json {
		return a.printJSON(r)
	}
	a.printf("%s: %s, signed by %s\n", file, sizeText(r.Size), orDash(r.SignedBy))
	if r.Cluster != "" {
		a.printf("for the cluster %s\n", r.Cluster)
	}
	var cells [][]string
	for _, one := range r.Artifacts {
		cells = append(cells, []string{one.Service, one.Version, one.Platform, sizeText(one.Size), orDash(one.SignedBy),
			one.Digest.Short()})
	}
	if len(cells) > 0 {
		a.printTable([]string{"SERVICE", "VERSION", "PLATFORM", " SIZE", "SIGNED BY", "DIGEST"}, cells)
	}
	cells = nil
	for _, file := range r.Files {
		cells = append(cells, []string{file.Path, strconv.FormatInt(file.Size, 10)})
	}
	if len(cells) > 0 {
		a.printTable([]string{"FILE", " BYTES"}, cells)
	}
	if dir != "" {
		a.printf("the files are in %s\n", dir)
	}
	for _, doubt := range r.Doubts {
		a.printf("not trusted: %s\n", doubt)
	}
	return nil
}
