package main

import (
	"cmp"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/operatorkey"
	"github.com/skerry/skerry/internal/sitekey"
	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/site/join"
)

// initFlags are the options of skerry site init.
type initFlags struct {
	hostFlags
	operator     string
	key          string
	noPassphrase bool
	builders     []string
	seeds        []string
	port, ports  int
}

func (a *app) siteInitCommand() *cobra.Command {
	f := &initFlags{}
	c := &cobra.Command{
		Use:   "init",
		Short: "Make the keys and files of a new site, on its first host",
		Long: `Makes what a site needs and does not have yet: the site's key, an authority for
certificates, the operator's key, and the configuration of this host. What is there
stays as it is. The operator's private key is made in ~/.ssh, with a passphrase, unless
--key names one that is there: its .pub file serves, when it is in ssh-agent.`,
		Example: `  skerry site init --cluster launch-site-2
  skerry site init --cluster launch-site-2 --operator wang --key ~/.ssh/id_ed25519.pub \
      --builder li=li.pub`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.siteInit(f) },
	}
	f.register(c)
	c.Flags().StringVar(&f.operator, "operator", "", "`NAME` of the operator (default the user that runs this)")
	c.Flags().StringVar(&f.key, "key", "", "`FILE` of the operator's key, private or public, in place of a new one")
	c.Flags().BoolVar(&f.noPassphrase, "no-passphrase", false, "make the operator's key without a passphrase")
	c.Flags().StringSliceVar(&f.builders, "builder", nil, "`NAME=FILE.pub` of a builder that is trusted; may be "+
		"repeated")
	c.Flags().StringSliceVar(&f.seeds, "seed", nil, "`HOST` that is asked by unicast, where broadcast is filtered; "+
		"may be repeated")
	c.Flags().IntVar(&f.port, "lan-port", 0, "first UDP `PORT` of the LAN (default 7759)")
	c.Flags().IntVar(&f.ports, "lan-ports", 0, "`NUMBER` of UDP ports of the LAN (default 100)")
	c.MarkFlagFilename("key")
	return c
}

// siteMade is what site init has made.
type siteMade struct {
	Cluster     string     `json:"cluster"`
	Host        string     `json:"host"`
	Files       []hostFile `json:"files"`
	Operator    string     `json:"operator,omitempty"` // empty: the file of operators was there
	Key         string     `json:"key,omitempty"`      // file of the operator's key
	Fingerprint string     `json:"fingerprint,omitempty"`
	Builders    bool       `json:"builders"` // there is a file of builders
}

func (a *app) siteInit(f *initFlags) error {
	if a.flags.cluster == "" {
		return usagef("name the site: --cluster NAME; every host and every service of it has this name")
	}
	if err := f.check(); err != nil {
		return err
	}
	host, err := f.hostName()
	if err != nil {
		return err
	}
	m := join.Membership{Cluster: a.flags.cluster, Mode: cmp.Or(a.flags.mode, string(config.ModeAuto)), Seeds: f.seeds,
		Port: f.port, Ports: f.ports}
	if m.Database, err = a.databaseURL(); err != nil {
		return err
	}
	if err := a.initKeeps(f, m); err != nil {
		return err
	}
	made := siteMade{Cluster: m.Cluster, Host: host}
	m.Keys = "# skerry: the key of the site. Each host with this key is a member: keep it to the hosts of the site.\n" +
		sitekey.New().Text() + "\n"
	if m.Builders, err = f.builderLines(); err != nil {
		return err
	}
	own, err := f.ownCertificate(host, m.Cluster)
	if err != nil {
		return err
	}
	if len(present(f.path(operatorsName))) == 0 {
		files, err := a.operatorKey(f, &m, &made)
		if err != nil {
			return err
		}
		own = append(own, files...)
	}
	made.Files = append(f.membershipFiles(m, host), own...)
	if err := writeHostFiles(made.Files); err != nil {
		return problemf("the files of the site can't be written: %w", err)
	}
	made.Builders = len(present(f.path(buildersName))) > 0
	return a.printSiteMade(f, made)
}

// initKeeps checks what is wanted, and what is there: it must be of the same site.
func (a *app) initKeeps(f *initFlags, m join.Membership) error {
	c := config.Config{Cluster: m.Cluster, Mode: config.Mode(m.Mode),
		LAN:      config.LAN{Seeds: m.Seeds, Port: m.Port, Ports: m.Ports},
		Database: config.Database{URL: m.Database}}
	if err := c.Validate(); err != nil {
		return usagef("%w", err)
	}
	if path := f.path(siteConfigName); len(present(path)) > 0 {
		c, err := config.Read(path)
		if err != nil {
			return usagef("%w", err)
		}
		if c.Cluster != m.Cluster {
			return problemf("%s is there, and is of the cluster %s; name another directory: --dir DIR", path, c.Cluster)
		}
	}
	if there := present(f.path(authorityName), f.path(authorityKey)); len(there) == 1 {
		return problemf("of the authority there is only %s; bring back its other file, or take this one away", there[0])
	}
	return nil
}

// builderLines is the text of the file of builders; empty for none.
func (f *initFlags) builderLines() (string, error) {
	text := ""
	for _, one := range f.builders {
		name, file, ok := strings.Cut(one, "=")
		if !ok {
			return "", usagef("--builder %s: write NAME=FILE.pub", one)
		}
		key, comment, err := keyfile.ReadPublicKey(file)
		if err != nil {
			return "", problemf("--builder: %w", err)
		}
		line, err := sshsig.Operator{Name: name, Key: key, Comment: comment,
			Namespaces: []string{sshsig.Artifact, sshsig.Bundle}}.Format()
		if err != nil {
			return "", usagef("--builder %s: %w", one, err)
		}
		text += line + "\n"
	}
	return text, nil
}

// ownCertificate makes the authority, and the certificate of this host.
func (f *initFlags) ownCertificate(host, cluster string) ([]hostFile, error) {
	var files []hostFile
	add := func(name, what string, mode fs.FileMode, text []byte) {
		files = append(files, hostFile{f.path(name), false, what, mode, string(text)})
	}
	authority, err := f.authority()
	if errors.Is(err, fs.ErrNotExist) {
		certificate, key, err := join.NewAuthority(cluster)
		if err != nil {
			return nil, problemf("%w", err)
		}
		pair, err := tls.X509KeyPair(certificate, key)
		if err != nil {
			return nil, problemf("%w", err)
		}
		authority = &pair
		add(authorityKey, "the authority's private key: it stays on this host", 0o600, key)
		add(authorityName, "the authority of the site's certificates", 0o644, certificate)
	} else if err != nil {
		return nil, err
	}
	if there := present(f.path(hostKeyName), f.path(hostCertName)); len(there) > 0 {
		return files, nil
	}
	key, request, err := join.NewRequest(host)
	if err != nil {
		return nil, problemf("%w", err)
	}
	_, addresses := ownNames(nil)
	certificate, err := join.Sign(authority, request, host, addresses...)
	if err != nil {
		return nil, problemf("%w", err)
	}
	add(hostKeyName, "the private key of this host's certificate", 0o600, key)
	add(hostCertName, "the certificate of this host", 0o644, certificate)
	return files, nil
}

// authority is that of the site; the error is fs.ErrNotExist where this host has none.
func (f *hostFlags) authority() (*tls.Certificate, error) {
	if len(present(f.path(authorityKey))) == 0 {
		return nil, fs.ErrNotExist
	}
	key, err := keyfile.ReadPrivate(f.path(authorityKey))
	if err != nil {
		return nil, problemf("%w", err)
	}
	certificate, err := statedir.ReadNamed(f.path(authorityName), maxFile)
	if err != nil {
		return nil, problemf("%w", err)
	}
	pair, err := tls.X509KeyPair(certificate, []byte(key))
	if err != nil {
		return nil, problemf("%s and %s: %w", f.path(authorityName), f.path(authorityKey), err)
	}
	return &pair, nil
}

// operatorKey finds or makes the key of the operator, and writes the file of operators.
func (a *app) operatorKey(f *initFlags, m *join.Membership, made *siteMade) (files []hostFile, err error) {
	op := sshsig.Operator{Name: f.operator, Namespaces: sshsig.Namespaces}
	if op.Name == "" {
		if op.Name = os.Getenv("SUDO_USER"); op.Name == "" {
			if u, err := user.Current(); err == nil {
				op.Name = filepath.Base(filepath.ToSlash(strings.ReplaceAll(u.Username, `\`, "/")))
			}
		}
	}
	if f.key != "" {
		made.Key = f.key
		op.Key, op.Comment, err = publicOf(f.key)
	} else {
		made.Key, files, err = a.newOperatorKey(f, m.Cluster, &op)
	}
	if err != nil {
		return nil, err
	}
	line, err := op.Format()
	if err != nil {
		return nil, usagef("--operator: %w", err)
	}
	m.Operators = "# skerry: the operators of the site. One line each: name, what it may sign, public key.\n" + line +
		"\n"
	made.Operator, made.Fingerprint = op.Name, op.Key.Fingerprint()
	return files, nil
}

// publicOf is the public key of a file: of a .pub file, or of the one beside a private key.
func publicOf(file string) (sshsig.PublicKey, string, error) {
	if !strings.HasSuffix(file, ".pub") {
		file += ".pub"
	}
	key, comment, err := keyfile.ReadPublicKey(file)
	if err != nil {
		return key, "", problemf("--key: %w", err)
	}
	return key, comment, nil
}

// newOperatorKey makes a key with a passphrase.
func (a *app) newOperatorKey(f *initFlags, cluster string, op *sshsig.Operator) (path string, files []hostFile,
	err error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", nil, usagef("there is no home directory for the operator's key: %w; name a key: --key FILE", err)
	}
	path = filepath.Join(home, ".ssh", "skerry-"+cluster)
	if there := present(path, path+".pub"); len(there) > 0 {
		return "", nil, problemf("%s is there already; to use it: --key %s", there[0], shellQuote(path))
	}
	passphrase := ""
	if !f.noPassphrase {
		if passphrase, err = a.newPassphrase(); err != nil {
			return "", nil, err
		}
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return "", nil, problemf("%w", err)
	}
	comment := op.Name + "@" + cluster
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(private, comment)
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, comment, []byte(passphrase))
	}
	if err != nil {
		return "", nil, problemf("%w", err)
	}
	op.Key, op.Comment = sshsig.PublicKey(public), comment
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", nil, problemf("%w", err)
	}
	return path, []hostFile{
		{path, false, "the operator's private key: take a copy to a safe place", 0o600,
			string(pem.EncodeToMemory(block))},
		{path + ".pub", false, "its public half", 0o644, op.Key.String() + " " + comment + "\n"},
	}, nil
}

// newPassphrase asks for a passphrase twice.
func (a *app) newPassphrase() (string, error) {
	if !terminal(a.in) {
		return "", usagef("the passphrase of the operator's key is asked for on a terminal; run this by hand, name a " +
			"key (--key FILE), or make one without a passphrase (--no-passphrase)")
	}
	first, err := operatorkey.Ask("A passphrase for the operator's key: ")
	if err != nil {
		return "", problemf("%w", err)
	}
	if first == "" {
		return "", usagef("the passphrase is empty; to make a key without one: --no-passphrase")
	}
	second, err := operatorkey.Ask("The same again: ")
	if err != nil {
		return "", problemf("%w", err)
	}
	if first != second {
		return "", usagef("the two passphrases differ; nothing was made")
	}
	return first, nil
}

func (a *app) printSiteMade(f *initFlags, made siteMade) error {
	if a.flags.json {
		return a.printJSON(made)
	}
	a.printHostFiles(made.Files)
	if !slices.ContainsFunc(made.Files, func(file hostFile) bool { return file.Made }) {
		a.printf("\nEverything was there; nothing was changed.\n")
	}
	if made.Operator != "" {
		a.printf("\nThe operator %s signs with %s, %s\n", made.Operator, made.Key, made.Fingerprint)
	}
	agentFile := f.path(agentName)
	a.printf("\nNext, on this host:\n")
	if !made.Builders {
		a.printf("  skerry operator add --file %s --namespaces %s,%s NAME BUILDER.pub\n", f.path(buildersName),
			sshsig.Artifact, sshsig.Bundle)
	}
	a.printf("  skerry agent run --file %s     # by the service manager\n", agentFile)
	a.printf("  skerry site invite HOST…       # for each further host\n")
	return nil
}
