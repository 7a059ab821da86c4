package main

import (
	"cmp"
	"context"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/internal/yamlfile"
	"github.com/skerry/skerry/site/artifact"
)

// artifactRequest is what artifact make is told, by its options and by a file.
type artifactRequest struct {
	file     string
	key      string
	unsigned bool

	Service  string          `yaml:"service"`
	Version  string          `yaml:"version"`
	Platform string          `yaml:"platform"`
	Source   artifact.Source `yaml:"source"`
	Run      artifact.Run    `yaml:"run"`
}

func (a *app) artifactMakeCommand(f *storeFlags) *cobra.Command {
	r := &artifactRequest{}
	c := &cobra.Command{
		Use:   "make DIR|FILE [-- ARGUMENT…]",
		Short: "Make an artifact of a directory or a file, and sign it",
		Long: `Puts the files into the store, with the description of how they are run, and
signs it with an Ed25519 key of OpenSSH. The same files and description make the
same artifact on every host: times, owners and the order of files do not count.

The description is a file in YAML, --file, or the options. Behind -- stand the
arguments of the command.

  service: auth
  version: v15
  platform: linux/amd64          # or any
  source: {repo: "git@ops-1:auth.git", commit: 9c1f03e}
  run:
    command: ./auth              # a file of the artifact, or a program of the host
    args: ["-config", "${config}", "-listen", ":${port}"]
    env: {TZ: UTC}
    ports: [main]
    check: tcp                   # leave out for a program with skerry in it
    stop: {signal: term, after: 45s}`,
		Example: `  skerry artifact make dist/auth --service auth --version v15 --key ~/.ssh/id_ed25519
  skerry artifact make dist -f artifact.yaml
  skerry artifact make app.jar --service proc --version v8 --platform any --command java -- -jar '${dir}/app.jar'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if n := cmd.ArgsLenAtDash(); n == 1 || n < 0 && len(args) == 1 {
				return nil
			}
			return usagef("name one directory or file; arguments of the command stand behind --")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.artifactMake(cmd.Context(), f, *r, args)
		},
	}
	set := c.Flags()
	set.StringVarP(&r.file, "file", "f", "", "`FILE` of the description")
	set.StringVar(&r.Service, "service", "", "`NAME` of the service")
	set.StringVar(&r.Version, "version", "", "`VERSION`")
	set.StringVar(&r.Platform, "platform", "", "`OS/ARCH` that it runs on, or any (default that of this host)")
	set.StringVar(&r.Run.Command, "command", "", "`COMMAND` that runs it (default ./FILE for a single file)")
	set.StringVar(&r.Source.Commit, "commit", "", "`ID` of the commit that it was built from")
	set.StringVar(&r.key, "key", "", "`FILE` of the private key, or of the public key of one in ssh-agent")
	set.BoolVar(&r.unsigned, "unsigned", false, "do not sign: skerry artifact sign follows")
	c.MarkFlagFilename("file", "yaml", "yml")
	return c
}

func (a *app) artifactMake(ctx context.Context, f *storeFlags, r artifactRequest, args []string) error {
	m, err := r.manifest(args)
	if err != nil {
		return err
	}
	s, err := f.open()
	if err != nil {
		return err
	}
	var signer artifact.Signer
	note := func() {}
	if !r.unsigned {
		key, err := f.signer(ctx, a, r.key, sshsig.Artifact)
		if err != nil {
			return err
		}
		defer key.Close()
		signer, note = key, func() { f.noteUnlisted(a, key) }
	}
	made, err := s.Make(ctx, args[0], m, signer)
	if err != nil {
		return problemf("%w", err)
	}
	note()
	return a.printArtifact(a.artifactRow(s, f, made))
}

// manifest joins the file and the options, which win.
func (r artifactRequest) manifest(args []string) (artifact.Manifest, error) {
	said := artifactRequest{}
	if r.file != "" {
		text, err := statedir.ReadNamed(r.file, maxFile)
		if err != nil {
			return artifact.Manifest{}, problemf("read the description: %w", err)
		}
		if err := yamlfile.Unmarshal(r.file, text, &said); err != nil {
			return artifact.Manifest{}, problemf("%w", quote.Errorf("read the description: %w", err))
		}
	}
	m := artifact.Manifest{Service: cmp.Or(r.Service, said.Service), Version: cmp.Or(r.Version, said.Version),
		Platform: cmp.Or(r.Platform, said.Platform, runtime.GOOS+"/"+runtime.GOARCH),
		Source:   said.Source, Run: said.Run}
	m.Source.Commit = cmp.Or(r.Source.Commit, m.Source.Commit)
	m.Run.Command = cmp.Or(r.Run.Command, m.Run.Command, singleCommand(args[0]))
	if len(args) > 1 {
		m.Run.Args = args[1:]
	}
	if m.Service == "" || m.Version == "" {
		return m, usagef("the service or its version is not named; say --service NAME --version VERSION, or write " +
			"them into the description")
	}
	return m, nil
}
