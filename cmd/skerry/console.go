package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/console"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/tlsfile"
)

// consoleFlags are the options of skerry console.
type consoleFlags struct {
	listen, title, key, by string
	plain                  bool
	hsts                   time.Duration
}

func (a *app) consoleCommand() *cobra.Command {
	f := consoleFlags{}
	c := &cobra.Command{
		Use:   "console",
		Short: "Serve web pages that show the site and steer it",
		Long: `Serves web pages on this host: what needs an operator, services with their
instances, which service calls which, processes, the policy, and what was changed.
The pages are in Chinese and English and need no internet. Every page is JSON, too
(?format=json).

It prints a link. A browser signs in by it: once, within ten minutes, with every
right. After each sign-in it prints the next one. "skerry console link" makes links
for others. It listens on this host only; from another one, open a tunnel:
ssh -L 7700:127.0.0.1:7700 HOST.

To listen for other hosts, name users (console.users, skerry console user add) and
make a certificate (skerry console cert), or name one (tls.cert). --plain serves
without TLS; then every page warns.

Where the configuration names operators (site.operators), changes need the key of
one. With --key it is unlocked here, at this terminal, and signs what is done in
sessions that the links of this terminal have let in. Without it, and in all other
sessions, pages show a command to run at the operator's own terminal.

The console takes part in the site as skerry ls does. It asks the processes every
two seconds while a page is open, and once a minute otherwise. Nothing needs it.`,
		Example: `  skerry console
  skerry console --key ~/.ssh/id_ed25519
  skerry console --listen 10.20.0.1:7700 --title "Hall 3"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.console(cmd.Context(), f) },
	}
	c.Flags().StringVar(&f.listen, "listen", "127.0.0.1:7700", "`HOST:PORT`; for other hosts than this one it needs "+
		"console.users, and TLS or --plain")
	c.Flags().StringVar(&f.title, "title", "", "what people call the site, for the pages")
	c.Flags().BoolVar(&f.plain, "plain", false, "serve other hosts without TLS: their passwords can be read on the way")
	c.Flags().DurationVar(&f.hsts, "hsts", 24*time.Hour, "`TIME` that browsers come by TLS only, after each visit by "+
		"TLS; 0 where other programs serve plain HTTP by the same host name")
	c.Flags().StringVar(&f.key, "key", "", "`FILE` of your key, or agent for the one in ssh-agent: signs for the "+
		"sessions of this terminal's links")
	c.Flags().StringVar(&f.by, "by", "", "`NAME` of the operator that this terminal's links sign in (default: that of "+
		"the key, else this user and host)")
	c.AddCommand(a.consoleLinkCommand(), a.consoleUserCommand(), a.consoleCertCommand(), a.consoleVerifyCommand(),
		a.consoleHistoryCommand())
	return c
}

// consoleDir is the directory of the console's files; "" without a state_dir.
func consoleDir(c skerry.Config) string {
	if c = c.WithDefaults(); c.StateDir == "" || c.StateDir == "none" {
		return ""
	}
	return filepath.Join(c.StateDir, c.Cluster)
}

func (a *app) console(ctx context.Context, f consoleFlags) error {
	kept, err := a.config()
	if err != nil {
		return err
	}
	at, err := netip.ParseAddrPort(f.listen)
	if err != nil {
		return usagef("--listen %s: want an IP address and a port, such as 127.0.0.1:7700", f.listen)
	}
	if f.hsts < 0 || f.hsts > mostHSTS {
		return usagef("--hsts %v: want 0 to %v", f.hsts, mostHSTS)
	}
	proof, err := consoleTLS(kept, f, at)
	if err != nil {
		return err
	}
	signers, by, err := a.consoleSigners(ctx, kept, f)
	if err != nil {
		return err
	}
	n, cfg, err := a.open(ctx, skerry.WithAllServices(), skerry.WithCaller(callerName))
	if err != nil {
		return err
	}
	defer n.Close()
	cfg = cfg.WithDefaults()
	l, err := net.Listen("tcp", f.listen)
	if err != nil {
		return problemf("%w", err)
	}
	defer l.Close()
	host, _ := os.Hostname()
	used := make(chan struct{}, 1)
	conf := console.Config{Node: n, Cluster: cfg.Cluster, Title: f.title, Host: cmp.Or(host, "this host"),
		Release: buildVersion(), Hosts: kept.Console.Hosts, Logger: cfg.Log.Logger(), HSTS: f.hsts,
		Certificate: proof.leaf, StateDir: consoleDir(kept), Users: kept.Console.Users,
		Plain: f.plain && !at.Addr().IsLoopback(), Operator: by,
		LinkUsed: func() {
			select {
			case used <- struct{}{}:
			default:
			}
		}}
	if signers != nil {
		conf.Signers = signers
	}
	conf.URL = consoleURL(l.Addr(), conf.Hosts, proof)
	pages, err := console.New(conf)
	if err != nil {
		return problemf("%w", err)
	}
	defer pages.Close()
	beside := run.NewGroup(ctx)
	beside.Go(func(ctx context.Context) error { pages.Run(ctx); return nil })
	beside.Go(func(ctx context.Context) error {
		for !a.intoJournal() {
			a.printf("%s%s\n", conf.URL, pages.Link())
			select {
			case <-ctx.Done():
				return nil
			case <-used:
			}
		}
		return nil
	})
	if proof.files != nil {
		beside.Go(func(ctx context.Context) error { return proof.files.Run(ctx, conf.Logger) })
		a.note("the certificate %s has the SHA-256 %s", proof.path, tlsfile.Fingerprint(proof.leaf()))
	}
	defer beside.Stop()
	if conf.Plain {
		a.note("without TLS: whatever listens on the network reads passwords, and takes sessions over")
	}
	if a.intoJournal() {
		a.note("serving pages on %s; links to sign in: skerry console link", l.Addr())
	} else {
		a.note("serving pages on %s; open this link within ten minutes:", l.Addr())
	}
	if err := pages.Serve(ctx, l, proof.secure); err != nil {
		return problemf("%w", err)
	}
	return nil
}

// intoJournal reports whether the output of this process is kept by systemd, where others could read links.
func (a *app) intoJournal() bool {
	return os.Getenv("JOURNAL_STREAM") != "" && (a.width == nil || a.width() == 0) // no terminal
}

// mostHSTS is the longest time of --hsts.
const mostHSTS = 365 * 24 * time.Hour

// consoleProof is the TLS of a console, and the certificate that it shows. The zero value is none.
type consoleProof struct {
	secure *tls.Config
	files  *tlsfile.Reader
	path   string // of the certificate
}

// leaf is the certificate that new connections meet; nil without TLS.
func (p consoleProof) leaf() *x509.Certificate {
	if p.secure == nil {
		return nil
	}
	pair, err := p.secure.GetCertificate(nil)
	if err != nil || pair == nil {
		return nil
	}
	return pair.Leaf
}

// names are the names and then the addresses of the certificate.
func (p consoleProof) names() []string {
	leaf := p.leaf()
	if leaf == nil {
		return nil
	}
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// consoleTLS is the TLS of a console that other hosts reach: none on loopback, where traffic stays on this host, and
// with --plain. Its errors say what such a console needs.
func consoleTLS(c skerry.Config, f consoleFlags, at netip.AddrPort) (p consoleProof, err error) {
	if at.Addr().IsLoopback() {
		return p, nil
	}
	if c.Console.Users == "" {
		return p, usagef("--listen %s: other hosts reach this address, so the console needs users; write "+
			"console: {users: /etc/skerry/console-users} into the configuration, and add one: skerry console user "+
			"add NAME", f.listen)
	}
	users, err := console.Users(c.Console.Users)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return p, usagef("console.users: %w", err)
	}
	if len(users) == 0 {
		return p, usagef("console.users: %s names no user; add one: skerry console user add NAME", c.Console.Users)
	}
	if f.plain {
		return p, nil
	}
	files, err := consoleCertFiles(c)
	if err != nil {
		return p, err
	}
	if files.Cert == "" {
		return p, usagef("--listen %s: other hosts reach this address, so the console needs TLS; make a certificate "+
			"(skerry console cert), or name tls.cert and tls.key in the configuration, or say --plain", f.listen)
	}
	p.path = files.Cert
	if p.files, err = tlsfile.New(files, "", false); err != nil {
		return p, usagef("%w", err)
	}
	p.secure = p.files.Server()
	if c.TLS.CA != "" { // users may show certificates of it
		if p.secure.ClientCAs, err = tlsfile.Authorities(c.TLS.CA); err != nil {
			return p, usagef("tls.ca: %w", err)
		}
		p.secure.ClientAuth = tls.VerifyClientCertIfGiven
	}
	if p.leaf() == nil {
		return p, usagef("the certificate %s can't be read", files.Cert)
	}
	return p, nil
}

// consoleCertFiles are the files of the console's TLS: those that skerry console cert has made, else those of the
// configuration.
func consoleCertFiles(c skerry.Config) (tlsfile.Files, error) {
	if dir := consoleDir(c); dir != "" {
		path := filepath.Join(dir, consoleCertFile)
		switch _, err := readConsoleCert(path); {
		case err == nil:
			return tlsfile.Files{Cert: path, Key: path}, nil
		case !errors.Is(err, fs.ErrNotExist):
			return tlsfile.Files{}, usagef("%s can't be used: %w", path, err)
		}
	}
	return tlsfile.Files{Cert: c.TLS.Cert, Key: c.TLS.Key}, nil
}

// consoleURL is the address by which browsers reach a listener: by TLS a host that its certificate proves. hosts are
// those of the configuration.
func consoleURL(addr net.Addr, hosts []string, p consoleProof) string {
	at, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return "http://" + addr.String()
	}
	scheme, host := "http://", at.Addr().String()
	names := slices.Concat(hosts, p.names())
	if p.secure != nil {
		scheme = "https://"
	}
	switch {
	case len(hosts) == 0 && p.leaf() != nil && p.leaf().VerifyHostname(host) == nil:
	case len(names) > 0 && (p.secure != nil || at.Addr().IsUnspecified()):
		host = names[0]
	case at.Addr().IsUnspecified():
		host = "127.0.0.1"
	}
	return scheme + net.JoinHostPort(host, strconv.Itoa(int(at.Port())))
}
