package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/internal/tlsfile"
)

// consoleCertFile is the name of the file, in the directory of the console's files, that holds the certificate which
// skerry console cert has made, and its key. One file is replaced as a whole, so a certificate never meets another key.
const consoleCertFile = "console-tls.pem"

// The validity of a certificate: browsers refuse longer ones of some authorities, and clocks of sites without a time
// server differ.
const (
	certDays     = 825
	mostCertDays = 3650
	certSkew     = 24 * time.Hour
)

// certFlags are the options of skerry console cert.
type certFlags struct {
	names, addresses []string
	days             int
	ca, caKey        string
	replace, pem     bool
}

// makes reports whether an option says what a new certificate is to be.
func (f certFlags) makes() bool {
	return len(f.names)+len(f.addresses) > 0 || f.days != certDays || f.ca != "" || f.caKey != ""
}

func (a *app) consoleCertCommand() *cobra.Command {
	f := certFlags{}
	c := &cobra.Command{
		Use:   "cert",
		Short: "Make the certificate of the console's TLS, or show it",
		Long: `Makes a certificate and its key for a console that other hosts reach, in state_dir
(mode 0600), or shows the one that is there. "skerry console --listen" uses it, before
that of tls.cert. Run it as the user of the console.

Without --name and --address the certificate is for console.hosts, the name of this
host and its addresses. It signs itself: each browser warns once, and the operator
compares the fingerprint with the one printed here, or imports the certificate
(--pem). Where the site has an authority, --ca and --ca-key let it sign.

A certificate that is there stays, unless --replace says so; then the new one has the
names and addresses of the old one. A running console uses it within two seconds.`,
		Example: `  skerry console cert
  skerry console cert --name console.hall --address 10.20.0.1
  skerry console cert --ca ca.pem --ca-key ca.key --name console.hall
  skerry console cert --pem > console.crt            # for browsers
  skerry console cert --replace                      # before it expires`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.consoleCert(f, time.Now()) },
	}
	c.Flags().StringSliceVar(&f.names, "name", nil, "`NAME` by which browsers reach the console; may be repeated")
	c.Flags().StringSliceVar(&f.addresses, "address", nil, "`IP` by which browsers reach the console; may be repeated")
	c.Flags().IntVar(&f.days, "days", certDays, "`DAYS` that the certificate is valid")
	c.Flags().StringVar(&f.ca, "ca", "", "`FILE` of the certificate of the authority that signs")
	c.Flags().StringVar(&f.caKey, "ca-key", "", "`FILE` of its key")
	c.Flags().BoolVar(&f.replace, "replace", false, "make a new one in place of the one that is there")
	c.Flags().BoolVar(&f.pem, "pem", false, "print the certificate in PEM, without the key, for browsers")
	c.MarkFlagFilename("ca")
	c.MarkFlagFilename("ca-key")
	return c
}

// consoleCert makes the certificate, or shows the one that is there.
func (a *app) consoleCert(f certFlags, now time.Time) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	dir := consoleDir(cfg)
	if dir == "" {
		return usagef("the certificate lies in state_dir, which says none; name one, or tls.cert and tls.key")
	}
	path := filepath.Join(dir, consoleCertFile)
	there, err := readConsoleCert(path)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist) && !f.replace:
		return problemf("%s can't be used: %w; --replace makes a new one in its place", path, err)
	case there == nil && f.pem && !f.replace && !f.makes():
		return problemf("there is no certificate in %s; make one: skerry console cert", path)
	case there != nil && f.makes() && !f.replace:
		return problemf("%s is there, valid until %s, SHA-256 %s; --replace makes a new one in its place", path,
			there.NotAfter.UTC().Format(time.DateTime), tlsfile.Fingerprint(there))
	case there != nil && !f.replace:
		return a.printConsoleCert(path, there, nil, false, f.pem)
	}
	r, err := f.request(cfg, there, now)
	if err != nil {
		return err
	}
	text, leaf, err := tlsfile.Make(r)
	if err != nil {
		return usagef("%w", err)
	}
	if err := statedir.Make(dir); err != nil {
		return problemf("%w; run the command as the user that the console runs as", err)
	}
	if err := statedir.WriteFile(path, text); err != nil {
		return problemf("%w", err)
	}
	return a.printConsoleCert(path, leaf, there, true, f.pem)
}

// readConsoleCert reads the certificate of a file. The file has the key, too, so other users must not read it.
func readConsoleCert(path string) (*x509.Certificate, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return nil, problemf("other users may read or write %s (mode %o); correct it with: chmod 600 %[1]s", path, mode)
	}
	pair, err := tls.LoadX509KeyPair(path, path)
	if err != nil {
		return nil, err
	}
	return pair.Leaf, nil
}

// request is what the new certificate is to be. old is the one that it replaces, nil for none.
func (f certFlags) request(c skerry.Config, old *x509.Certificate, now time.Time) (r tlsfile.Request, err error) {
	if f.days < 1 || f.days > mostCertDays {
		return r, usagef("--days %d: want 1 to %d", f.days, mostCertDays)
	}
	r = tlsfile.Request{Names: f.names, From: now.Add(-certSkew), To: now.AddDate(0, 0, f.days)}
	for _, text := range f.addresses {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return r, usagef("--address %s: want an IP address, such as 10.20.0.1", text)
		}
		r.Addresses = append(r.Addresses, a)
	}
	switch {
	case len(r.Names)+len(r.Addresses) > 0:
	case old != nil:
		r.Names = old.DNSNames
		for _, ip := range old.IPAddresses {
			if a, ok := netip.AddrFromSlice(ip); ok {
				r.Addresses = append(r.Addresses, a.Unmap())
			}
		}
	default:
		r.Names, r.Addresses = ownNames(c.Console.Hosts)
	}
	switch {
	case f.ca != "" && f.caKey != "":
		pair, err := tls.LoadX509KeyPair(f.ca, f.caKey)
		if err != nil {
			return r, usagef("--ca, --ca-key: %w", err)
		}
		r.CA = &pair
	case f.ca != "" || f.caKey != "":
		return r, usagef("an authority signs with its certificate and its key: --ca FILE --ca-key FILE")
	case old != nil && !tlsfile.SignsItself(old):
		return r, usagef("the certificate that is there was signed by the authority %q, and browsers that trust it "+
			"would warn of one that signs itself: say --ca and --ca-key, or remove the file first",
			old.Issuer.CommonName)
	}
	return r, nil
}

// ownNames are the names and addresses by which other hosts may reach this one.
func ownNames(configured []string) (names []string, addresses []netip.Addr) {
	names = slices.Clone(configured)
	if host, err := os.Hostname(); err == nil && host != "" && host != "localhost" && !slices.Contains(names, host) {
		names = append(names, host)
	}
	found, err := net.InterfaceAddrs()
	if err != nil {
		return names, nil
	}
	for _, at := range found {
		if p, err := netip.ParsePrefix(at.String()); err == nil && p.Addr().IsGlobalUnicast() {
			addresses = append(addresses, p.Addr())
		}
	}
	return names, addresses
}

// consoleCertShown is the certificate as JSON has it.
type consoleCertShown struct {
	File        string       `json:"file"`
	Made        bool         `json:"made"`               // by this command
	Replaced    string       `json:"replaced,omitempty"` // fingerprint of the one that was there
	Names       []string     `json:"names"`
	Addresses   []netip.Addr `json:"addresses"`
	From        time.Time    `json:"from"`
	Until       time.Time    `json:"until"`
	SignedBy    string       `json:"signed_by,omitempty"` // the authority; without one it signs itself
	Fingerprint string       `json:"sha256"`
}

// printConsoleCert shows a certificate. old is the one that it has replaced, nil for none.
func (a *app) printConsoleCert(path string, c, old *x509.Certificate, made, asPEM bool) error {
	s := consoleCertShown{File: path, Made: made, Names: append([]string{}, c.DNSNames...), Addresses: []netip.Addr{},
		From: c.NotBefore, Until: c.NotAfter, Fingerprint: tlsfile.Fingerprint(c)}
	for _, ip := range c.IPAddresses {
		if at, ok := netip.AddrFromSlice(ip); ok {
			s.Addresses = append(s.Addresses, at.Unmap())
		}
	}
	if !tlsfile.SignsItself(c) {
		s.SignedBy = c.Issuer.CommonName
	}
	if old != nil {
		s.Replaced = tlsfile.Fingerprint(old)
	}
	if a.flags.json && !asPEM {
		return a.printJSON(s)
	}
	if old != nil {
		a.note("a new certificate is in the place of the one with SHA-256 %s; a running console uses it in 2 s",
			s.Replaced)
	} else if made {
		a.note("a certificate is made; skerry console --listen uses it")
	}
	if asPEM {
		return pem.Encode(a.out, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	var addresses []string
	for _, at := range s.Addresses {
		addresses = append(addresses, at.String())
	}
	by := "itself"
	if s.SignedBy != "" {
		by = "the authority " + s.SignedBy
	}
	a.printf("file       %s\nnames      %s\naddresses  %s\n", path, strings.Join(s.Names, ", "),
		strings.Join(addresses, ", "))
	a.printf("valid      %s to %s UTC\nsigned by  %s\nSHA-256    %s\n", s.From.UTC().Format(time.DateTime),
		s.Until.UTC().Format(time.DateTime), by, s.Fingerprint)
	if s.SignedBy == "" {
		a.note("a browser warns of a certificate that signs itself: let it go on only where it shows this SHA-256, " +
			"or import the certificate (--pem)")
	}
	return nil
}
