package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/site/artifact"
)

// singleCommand is the command of an artifact with one file, "" for a directory.
func singleCommand(path string) string {
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return "./" + filepath.Base(path)
	}
	return ""
}

// artifactRow is an artifact as commands print it.
type artifactRow struct {
	Service  string            `json:"service"`
	Version  string            `json:"version"`
	Platform string            `json:"platform"`
	Digest   artifact.Digest   `json:"digest"`
	Size     int64             `json:"size"`
	SignedBy string            `json:"signed_by,omitzero"` // "" without a trusted signature
	Doubt    string            `json:"doubt,omitzero"`
	Good     int               `json:"good,omitzero"`
	Pins     []string          `json:"pins,omitzero"`
	Manifest artifact.Manifest `json:"manifest,omitzero"`
	File     string            `json:"file,omitzero"` // of the signed manifest
}

// artifactRow looks at the signatures of an artifact, but not at its files.
func (a *app) artifactRow(s *artifact.Store, f *storeFlags, one artifact.Artifact) artifactRow {
	m := one.Manifest
	r := artifactRow{Service: m.Service, Version: m.Version, Platform: m.Platform, Digest: one.Digest, Size: m.Size(),
		Good: one.Good, Pins: one.Pins, Manifest: m,
		File: filepath.Join(s.Dir(), "blobs", "sha256", one.Digest.Hex())}
	builders, err := artifact.ReadSigners(f.buildersFile())
	switch {
	case err == nil:
		r.SignedBy, err = s.Trusted(one.Digest, builders)
	case errors.Is(err, fs.ErrNotExist):
		err = f.noBuilders()
	}
	if err != nil {
		r.Doubt = err.Error()
	}
	return r
}

func (a *app) artifactLsCommand(f *storeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "ls [SERVICE]",
		Short: "Show the artifacts of the store, and their signers",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := f.open()
			if err != nil {
				return err
			}
			all, failed := s.List()
			rows := []artifactRow{}
			for _, one := range all {
				if len(args) == 0 || one.Manifest.Service == args[0] {
					r := a.artifactRow(s, f, one)
					r.Manifest, r.File = artifact.Manifest{}, ""
					rows = append(rows, r)
				}
			}
			if err := a.printArtifacts(s.Dir(), rows); err != nil {
				return err
			}
			if failed != nil {
				return problemf("%w", failed)
			}
			return nil
		},
	}
}

func (a *app) printArtifacts(store string, rows []artifactRow) error {
	if a.flags.json {
		return a.printJSON(map[string]any{"store": store, "artifacts": rows})
	}
	if len(rows) == 0 {
		a.printf("%s has no artifact; add one with skerry artifact make or skerry bundle import\n", store)
		return nil
	}
	var cells [][]string
	for _, r := range rows {
		kept := r.Pins
		if r.Good > 0 {
			kept = append([]string{"good"}, kept...)
		}
		cells = append(cells, []string{r.Service, r.Version, r.Platform, sizeText(r.Size), orDash(r.SignedBy),
			r.Digest.Short(), orDash(strings.Join(kept, ", "))})
	}
	a.printTable([]string{"SERVICE", "VERSION", "PLATFORM", " SIZE", "SIGNED BY", "DIGEST", "KEPT FOR"}, cells)
	return nil
}

func (a *app) artifactShowCommand(f *storeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "show REF",
		Short: "Show an artifact: how it is run, its files and its signer",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := f.open()
			if err != nil {
				return err
			}
			one, err := findOne(s, args[0])
			if err != nil {
				return err
			}
			return a.printArtifact(a.artifactRow(s, f, one))
		},
	}
}

func (a *app) printArtifact(r artifactRow) error {
	if a.flags.json {
		return a.printJSON(r)
	}
	m := r.Manifest
	a.printf("%s %s for %s\n", m.Service, m.Version, m.Platform)
	lines := [][2]string{{"digest", string(r.Digest)}, {"signed by", r.SignedBy}, {"not trusted", r.Doubt},
		{"repository", m.Source.Repo}, {"commit", m.Source.Commit},
		{"runs", strings.Join(append([]string{m.Run.Command}, m.Run.Args...), " ")},
		{"ports", strings.Join(m.Run.Ports, ", ")}, {"check", m.Run.Check},
		{"stops by", m.Run.Stop.Signal + ", killed after " + m.Run.Stop.After.String()},
		{"kept for", strings.Join(r.Pins, ", ")}, {"signed file", r.File}}
	for _, line := range lines {
		if line[1] != "" {
			a.printf("  %-12s %s\n", line[0], line[1])
		}
	}
	var cells [][]string
	for _, file := range m.Files {
		mode := "file"
		if file.Executable {
			mode = "program"
		}
		cells = append(cells, []string{file.Path, mode, strconv.FormatInt(file.Size, 10), file.Digest.Short()})
	}
	a.printTable([]string{"FILE", "KIND", " BYTES", "DIGEST"}, cells)
	return nil
}

func (a *app) artifactVerifyCommand(f *storeFlags) *cobra.Command {
	all := false
	c := &cobra.Command{
		Use:   "verify REF…",
		Short: "Check the signature and every byte of artifacts; needs no network",
		Args: func(_ *cobra.Command, args []string) error {
			if (len(args) == 0) != all {
				return usagef("name artifacts, or say --all")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.open()
			if err != nil {
				return err
			}
			builders, err := f.trustedBuilders()
			if err != nil {
				return err
			}
			var list []artifact.Artifact
			if all {
				if list, err = s.List(); err != nil {
					return problemf("%w", err)
				}
			}
			for _, ref := range args {
				found, err := find(s, ref)
				if err != nil {
					return err
				}
				list = append(list, found...)
			}
			rows, bad := []artifactRow{}, 0
			for _, one := range list {
				r := a.artifactRow(s, f, one)
				r.Manifest, r.File = artifact.Manifest{}, ""
				r.Doubt = ""
				if r.SignedBy, err = s.Verify(cmd.Context(), one.Digest, builders); err != nil {
					r.Doubt = err.Error()
					bad++
				}
				rows = append(rows, r)
			}
			return a.printVerifiedArtifacts(rows, bad)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "check every artifact of the store")
	return c
}

func (a *app) printVerifiedArtifacts(rows []artifactRow, bad int) error {
	if a.flags.json {
		if err := a.printJSON(map[string]any{"artifacts": rows, "refused": bad}); err != nil {
			return err
		}
	} else {
		for _, r := range rows {
			name := r.Service + "/" + r.Version + "/" + r.Platform
			if r.Doubt != "" {
				a.printf("%s: refused: %s\n", name, r.Doubt)
				continue
			}
			a.printf("%s: good, signed by %s\n", name, r.SignedBy)
		}
	}
	if bad > 0 {
		return &exitError{code: exitProblem}
	}
	return nil
}

func (a *app) artifactSignCommand(f *storeFlags) *cobra.Command {
	key, signature := "", ""
	c := &cobra.Command{
		Use:   "sign REF",
		Short: "Add a signature to an artifact, for a site with other builders",
		Long: `Signs with a key, or adds a signature that was made elsewhere by ssh-keygen of the
file that skerry artifact show names ("signed file"):
  ssh-keygen -Y sign -f KEY -n skerry-artifact < FILE > auth.sig`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.open()
			if err != nil {
				return err
			}
			one, err := findOne(s, args[0])
			if err != nil {
				return err
			}
			if signature != "" {
				text, err := statedir.ReadNamed(signature, maxFile)
				if err == nil {
					err = s.AddSignature(cmd.Context(), one.Digest, text)
				}
				if err != nil {
					return problemf("%s: %w", signature, err)
				}
				return a.printArtifact(a.artifactRow(s, f, one))
			}
			signer, err := f.signer(cmd.Context(), a, key, sshsig.Artifact)
			if err != nil {
				return err
			}
			defer signer.Close()
			if err := s.Sign(cmd.Context(), one.Digest, signer); err != nil {
				return problemf("%w", err)
			}
			f.noteUnlisted(a, signer)
			return a.printArtifact(a.artifactRow(s, f, one))
		},
	}
	c.Flags().StringVar(&key, "key", "", "`FILE` of the private key, or of the public key of one in ssh-agent")
	c.Flags().StringVar(&signature, "signature", "", "`FILE` with a signature of ssh-keygen, to be added")
	return c
}
